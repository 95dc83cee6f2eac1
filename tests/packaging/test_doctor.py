"""The doctor: faults are found and named, secrets are not, and asking for help costs nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_sweep.doctor import commands, install, places
from rlvr_sweep.doctor.machine import Check

SECRET = "0123456789abcdef0123456789abcdef01234567"


def facts(**changes: object) -> dict[str, object]:
    return {"version": "2.13.0", "cuda": None, "gpus": [], **changes}


def test_a_version_outside_its_range_fails_and_names_both() -> None:
    check = install.packages(["packaging<1", "rich>=1"], [])
    assert check.state == "fail"
    assert "packaging" in check.found and "<1" in check.found and "rich" not in check.found
    assert check.remedy


def test_a_missing_requirement_fails_and_a_missing_extra_does_not() -> None:
    assert install.packages(["no-such-package>=1"], []).state == "fail"
    assert install.packages([], ["no-such-package>=1"]).state == "ok"


def test_the_ranges_of_the_package_itself_hold_here() -> None:
    needed, extras = install.pins()
    assert "trl==1.16.0" in needed and not any(line.startswith("vllm") for line in needed)
    assert any(line.startswith("vllm") for line in extras)
    assert install.packages(needed, extras).state == "ok"


@pytest.mark.parametrize(
    ("seen", "driver_gpus", "state", "word"),
    [
        (facts(), 0, "ok", "CPU build"),
        (facts(), 2, "warn", "DEVICE=gpu"),
        (facts(cuda="13.0"), 2, "fail", "driver"),
        (facts(cuda="13.0", gpus=["NVIDIA H200 140 GiB"]), 1, "ok", "1 x NVIDIA H200"),
    ],
)
def test_torch_is_judged_against_the_driver(
    monkeypatch: pytest.MonkeyPatch, seen: dict[str, object], driver_gpus: int, state: str, word: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check = install.judge_torch(seen, driver_gpus=driver_gpus)
    assert check.state == state
    assert word in check.found + check.remedy


def test_hidden_gpus_are_not_blamed_on_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = install.judge_torch(facts(cuda="13.0"), driver_gpus=1)
    assert check.state == "warn" and "CUDA_VISIBLE_DEVICES" in check.remedy


def test_a_runs_folder_that_cannot_be_written_to_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert places.disk(tmp_path / "file" / "runs").state == "fail"
    assert places.disk(tmp_path / "not" / "yet").state != "fail"
    assert not (tmp_path / "not").exists(), "the doctor leaves nothing behind"


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FULL_GIB", 10**9)
    assert places.disk(tmp_path).state == "fail"


def test_a_wandb_key_is_found_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "no key" in places.wandb().found
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {SECRET}\n")
    (tmp_path / "netrc").chmod(0o600)
    assert f"key in {tmp_path}" in places.wandb().found
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai passwort {SECRET}\n")
    assert places.wandb().state == "warn" and SECRET not in places.wandb().found
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    assert "key in WANDB_API_KEY" in places.wandb().found
    assert SECRET not in str(places.wandb())


def test_online_without_a_key_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert places.wandb().state == "warn"


@pytest.mark.parametrize(("said", "state"), [("1", "ok"), ("100000", "warn"), ("two", "fail"), ("0", "fail")])
def test_thread_counts(monkeypatch: pytest.MonkeyPatch, said: str, state: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert places.threads().state == state


def test_the_exit_code_is_1_only_where_a_check_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Check("a", "ok", "fine"), Check("b", "warn", "so so", "sleep"), Check("c", "fail", "broken", "mend it")]
    monkeypatch.setattr(commands, "examine", lambda runs: rows[:2])
    assert commands.main([]) == 0
    assert "ready" in capsys.readouterr().out
    monkeypatch.setattr(commands, "examine", lambda runs: rows)
    assert commands.main([]) == 1
    shown = capsys.readouterr().out
    assert "not ready: c" in shown and "mend it" in shown
    assert commands.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)[2]["remedy"] == "mend it"


def test_the_grader_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "GRADER", "raise RuntimeError('cannot parse 50%')")
    check = install.grader()
    assert check.state == "fail" and "cannot parse 50%" in check.found


def test_the_whole_examination_passes_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert commands.main(["--json", "--runs", str(tmp_path)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    of_machine = {"stack", "GPUs", "NCCL", "shm", "network"}
    known = {"Python", "packages", "files", "torch", "grader", "runs", "hub", "W&B", "source", "threads"}
    assert known | of_machine == set(rows)
    assert "antlr4-python3-runtime" in rows["grader"]["found"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom rlvr_sweep.doctor import commands\ntry: commands.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'trl', 'transformers', 'wandb', 'huggingface_hub', 'sympy', 'hydra'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(install.CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout
