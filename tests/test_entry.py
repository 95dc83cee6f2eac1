"""The entry: light to start, one line and exit 2 for a mistake, and the same thing as `rlvr-sweep`."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_sweep import __version__, cli
from rlvr_sweep.__main__ import main

HEAVY = (
    "{'torch', 'trl', 'transformers', 'accelerate', 'datasets', 'wandb', "
    "'matplotlib', 'pyarrow', 'math_verify', 'sympy'}"
)


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["--version"], ["--cfg", "job"], ["nonsense"], *([verb, "--help"] for verb in cli.VERBS)],
    ids=" ".join,
)
def test_help_and_config_import_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import sys; from rlvr_sweep.__main__ import main\n"
        f"try: main({argv!r})\n"
        "except SystemExit: pass\n"
        f"print('heavy:', sorted({{m.split('.')[0] for m in sys.modules}} & {HEAVY}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "heavy: []"
    assert done.stdout or done.stderr.startswith("rlvr_sweep:")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "remedy"),
    [
        (["shw"], "did you mean show?"),
        (["seed"], "write seed=VALUE"),
        (["--config-dir", "/no/such/folder"], "no such folder"),
        (["show", "no-such-cell"], "no-such-cell"),
        (["lab", "build", "lama"], "llama"),
        (["-m", "plan", "seed=0,1"], "write python -m rlvr_sweep plan ..."),
        (["align", "--sample", "2"], "--sample"),  # no option is guessed from its beginning
        (["align", "--figure", "x.pdf"], "write x.png"),
        (["one-shot", "acc.json", "--top", "-5"], "1 or more"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(argv: list[str], remedy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rlvr_sweep: ")
    assert remedy in err
    assert len(err.splitlines()) == 1


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert main([]) == 2
    assert "3.11, 3.12 or 3.13" in capsys.readouterr().err


def test_a_folder_without_write_permission_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"  # root may write anywhere, but not below a file
    blocker.write_text("")
    assert main([f"runs={blocker}/runs"]) == 2
    assert "runs=DIR" in capsys.readouterr().err
