"""What cells will cost is measured on finished ones like them, and unknown without any."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.cell_dir import CellDir, index
from rlvr_sweep.config.compose import Composed, compose_or_refuse
from rlvr_sweep.sweep import cost as module
from rlvr_sweep.sweep.cost import Cost, cost

CPU, GPU = {"devices": ["x86_64"], "cuda": None}, {"devices": ["NVIDIA H200"], "cuda": "13.0"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def composed(runs: Path, *lines: str, seed: int = 0) -> Composed:
    one = _composed(lines)
    return replace(one, cell=one.cell.model_copy(update={"runs": str(runs), "seed": seed}))


@cache
def _composed(lines: tuple[str, ...]) -> Composed:
    return compose_or_refuse(list(lines), multirun=False)[0]


def finished(
    runs: Path, *lines: str, seed: int = 0, seconds: float = 36.0, env: dict[str, Any] | None = CPU, **status: Any
) -> Path:
    """A cell's directory as after its end."""
    path = CellDir.create(composed(runs, *lines, seed=seed)).path
    (path / "attempts" / "1").mkdir(parents=True)
    if env is not None:
        (path / "attempts" / "1" / "env.json").write_text(json.dumps(env))
    document = {"state": "done", "attempt": 1, "started": 1000.0, "finished": 1000.0 + seconds} | status
    (path / "status.json").write_text(json.dumps(document))
    (path / "DONE").write_text("{}")
    return path


def of(runs: Path, *lines: str, seed: int = 0, share: float = 1.0) -> Cost:
    return cost([(composed(runs, *lines, seed=seed), share)], index(runs))


def test_another_seed_and_reward_cost_alike(runs: Path) -> None:
    for seed, seconds in enumerate((30.0, 36.0, 90.0)):
        finished(runs, "reward=python", seed=seed, seconds=seconds)
    found = of(runs, "reward=format", seed=9)
    assert found.hours("core") == pytest.approx(0.01) and found.hours("GPU") is None
    assert (found.known_for, found.unknown) == (1, None)
    assert found.basis is not None and found.basis.startswith("3 finished cells with the same model")
    assert "x86_64, 36 s each" in found.basis
    assert found.lines()[0] == "time: about 0.01 core-hours for 1 cell"


def test_a_servers_gpus_are_not_counted_and_that_is_said(runs: Path) -> None:
    served = ["compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000"]
    finished(runs, *served, env=CPU | {"cuda": "13.0", "devices": ["NVIDIA H200"]})
    said = of(runs, *served, seed=1).lines()[0]
    assert said == "time: about 0.01 GPU-hours for 1 cell, without the GPUs of vLLM servers"


def test_estimators_that_ask_for_no_more_cost_alike(runs: Path) -> None:
    finished(runs, "estimator=dr_grpo")
    assert of(runs, "estimator=w_reinforce").known_for == of(runs, "estimator.whiten=true").known_for == 1


@pytest.mark.parametrize(
    "line",
    [
        "model=lab/olmo",
        "data=lab/mul",
        "algo.rollouts=21",
        "clip=off_small_rollout",
        "eval.every=0",
        "compute=cpu",
        "estimator.kl=0.1",
        "estimator.dynamic_sampling=true",
        "estimator=spurious_rewards",
    ],
)
def test_another_kind_of_cell_is_no_basis(runs: Path, line: str) -> None:
    finished(runs)
    assert of(runs, seed=1).known_for == 1
    found = of(runs, line)
    assert (found.parts, found.hours("core"), found.disk_bytes, found.basis) == ([], None, None, None)
    assert found.lines() == [f"time and disk: unknown ({found.unknown})"]
    assert "no finished cell with the same model, data" in (found.unknown or "")


@pytest.mark.parametrize(
    "status",
    [{"attempt": 2}, {"state": "failed"}, {"finished": None}, {"finished": 900.0}, {"started": "noon"}],
    ids=str,
)
def test_only_a_clean_single_attempt_counts(runs: Path, status: dict[str, Any]) -> None:
    finished(runs, **status)
    assert of(runs, seed=1).parts == []


def _without_done(path: Path) -> None:
    (path / "DONE").unlink()


def _of_another_format(path: Path) -> None:
    (path / "cell.json").write_text(json.dumps(json.loads((path / "cell.json").read_text()) | {"format": 99}))


def _with_broken_json(path: Path) -> None:
    (path / "cell.json").write_bytes(b"\xff{")


def _of_another_schema(path: Path) -> None:
    document = json.loads((path / "cell.json").read_text())
    document["cell"]["algo"]["unheard_of"] = 1
    (path / "cell.json").write_text(json.dumps(document))


def _without_environment(path: Path) -> None:
    (path / "attempts" / "1" / "env.json").unlink()


@pytest.mark.parametrize(
    "spoil", [_without_done, _of_another_format, _with_broken_json, _of_another_schema, _without_environment]
)
def test_what_cannot_be_read_is_no_basis(runs: Path, spoil: Callable[[Path], None]) -> None:
    spoil(finished(runs))
    assert of(runs, seed=1).parts == []


def test_a_cell_from_before_a_field_was_there_still_counts(runs: Path) -> None:
    path = finished(runs)
    document = json.loads((path / "cell.json").read_text())
    del document["cell"]["compute"]["share"], document["cell"]["compute"]["nodes"]
    (path / "cell.json").write_text(json.dumps(document))
    assert of(runs, seed=1).known_for == 1


@pytest.mark.parametrize(
    ("lines", "env", "unit", "seconds"),
    [
        (["compute.ranks=4"], GPU, "GPU", 4 * 3600),
        (["compute.share=0.25"], GPU, "GPU", 0.25 * 3600),
        (["compute.device=auto"], GPU | {"environment": {"RLVR_SWEEP_SHARE": "0.0625"}}, "GPU", 3600 / 16),
        (["compute.threads=3"], CPU, "core", 3 * 3600),
    ],
    ids=str,
)
def test_time_is_what_a_cell_held(runs: Path, lines: list[str], env: dict[str, Any], unit: str, seconds: float) -> None:
    finished(runs, *lines, seconds=3600.0, env=env)
    assert of(runs, *lines, seed=1).hours(unit) == pytest.approx(seconds / 3600)


def test_of_two_kinds_of_devices_the_more_frequent_counts(runs: Path) -> None:
    finished(runs, seed=0, env=CPU, seconds=7200.0)
    finished(runs, seed=1, env=GPU, seconds=3600.0)
    finished(runs, seed=2, env=GPU, seconds=3600.0)
    found = of(runs, seed=3)
    assert (found.hours("GPU"), found.hours("core")) == (pytest.approx(1.0), None)
    assert "2 finished cells" in (found.basis or "") and "NVIDIA H200" in (found.basis or "")


def test_where_some_have_a_basis_it_says_for_how_many(runs: Path) -> None:
    finished(runs, seconds=3600.0)
    wanted = [(composed(runs, seed=seed), 1.0) for seed in (1, 2)] + [(composed(runs, "model=lab/olmo"), 1.0)]
    found = cost(wanted, index(runs))
    assert (found.cells, found.known_for) == (3, 2)
    lines = found.lines()
    assert lines[0] == "time: about 2 core-hours for 2 of 3 cells"
    assert lines[-1].startswith("unknown for the others: no finished cell") and lines[-1].endswith("1 of 3 cells")
    assert found.as_json()["core_hours"] == pytest.approx(2.0) and found.as_json()["gpu_hours"] is None


def test_half_a_cell_costs_half(runs: Path) -> None:
    finished(runs, seconds=3600.0)
    assert of(runs, seed=1, share=0.5).hours("core") == pytest.approx(0.5)


def test_disk_is_the_size_of_such_directories(runs: Path) -> None:
    path = finished(runs)
    before = of(runs, seed=1).disk_bytes
    (path / "model").mkdir()
    (path / "model" / "model.safetensors").write_bytes(bytes(3_000_000))
    after = of(runs, seed=1).disk_bytes
    assert before is not None and after == before + 3_000_000
    assert "disk: about 3 MB for 1 cell, without checkpoints" in of(runs, seed=1).lines()


def test_nothing_to_run_costs_nothing_and_reads_nothing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(runs)
    monkeypatch.setattr(module, "_json", None)
    assert cost([], index(runs)).lines() == []
    assert of(runs, "model=lab/olmo").parts == []  # another name: not looked into


def test_no_more_is_read_than_is_enough(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENOUGH", 3)
    for seed in range(6):
        finished(runs, seed=seed)
    read = []
    real = module._json
    monkeypatch.setattr(module, "_json", lambda file: read.append(file.name) or real(file))
    found = of(runs, seed=9)
    assert read.count("cell.json") == 3
    assert (found.basis or "").startswith("3 or more finished cells")


@pytest.mark.parametrize("line", ["model=lab/qwen", "data=lab/mul", "reward=python"])
def test_directories_are_recognised_by_their_names(runs: Path, line: str) -> None:
    one = composed(runs, line)
    assert one.slug.startswith(module._beginning(one.cell))
