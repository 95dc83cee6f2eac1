"""The verb `show`, as a user calls it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rlvr_sweep.__main__ import main
from rlvr_sweep.report.commands import show_end
from tests.report.cells import cell

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def show(capsys: Capture, *argv: str) -> tuple[int, str, str]:
    code = main(["show", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_cell(capsys: Capture) -> None:
    path = cell(Path("runs"))
    code, out, _ = show(capsys, path.name.rpartition("--")[2][:4])
    assert code == 0
    assert f"picture: {path}/figure.png" in out and (path / "figure.png").is_file()
    assert "right: answer 42, gold 42 (equal)" in out and "wrong: answer 43" in out and "What is 12 + 30?" in out
    assert json.loads((path / "summary.json").read_text())["state"] == "done"


def test_samples(capsys: Capture) -> None:
    path = cell(Path("runs"))
    assert show(capsys, str(path), "--samples", "2")[1].count("right: ") == 2
    assert "right: " not in show(capsys, str(path), "--samples", "0")[1]
    part = next((path / "rollouts").glob("part-*"))
    part.unlink()
    assert "completions of add at update 20" in show(capsys, str(path))[1]


def test_a_completion_cannot_steer_the_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.report import cells

    def hostile(rollout: int, slot: int, *, right: bool) -> dict:
        return {**real(rollout, slot, right=right), "text": "a\x1b[2Jb[bold]c[/]" + "x" * 5000}

    real = cells._completion
    monkeypatch.setattr(cells, "_completion", hostile)
    _, out, _ = show(capsys, str(cell(Path("runs"))))
    assert "\x1b" not in out and "[bold]c[/]" in out and "characters left out" in out


def test_a_failed_cell_shows_the_end_of_its_log(capsys: Capture) -> None:
    path = cell(
        Path("runs"), state="failed", trained=2, reason="RuntimeError: boom", log="x\n" * 50 + "Traceback\nboom\n"
    )
    _, out, _ = show(capsys, str(path))
    assert "failed (RuntimeError: boom)" in out and f"log: {path}/attempts/1/log.txt" in out
    assert out.count("  x\n") == 3 and "  Traceback\n  boom\n" in out


def test_several_cells_are_a_grid(capsys: Capture) -> None:
    for seed in (0, 1):
        cell(Path("runs"), seed=seed)
    _, out, _ = show(capsys, "runs")
    assert "lab/add / ground_truth" in out and "intervals" not in out
    code, out, _ = show(capsys, "runs", "--json")
    assert code == 0 and json.loads(out)[0]["seeds"] == [0, 1]


def test_json_of_one_cell(capsys: Capture) -> None:
    path = cell(Path("elsewhere"))
    _, out, _ = show(capsys, "qwen", "--runs", "elsewhere", "--json")
    assert json.loads(out)["cell_id"] == path.name.rpartition("--")[2]


@pytest.mark.parametrize("argv", [["nothing"], ["runs"], ["/nowhere/x"]])
def test_no_such_cell_is_one_line(capsys: Capture, argv: list[str]) -> None:
    code, out, err = show(capsys, *argv)
    assert code == 2 and out == "" and err.count("\n") == 1 and "run one with" in err


def test_a_record_of_another_user_can_be_read(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cell(Path("runs"))

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    code, out, _ = show(capsys, str(path))
    assert code == 0 and "cannot be written (Permission denied)" in out and "picture:" not in out and "accuracy" in out


def test_the_end_of_a_run(tmp_path: Path) -> None:
    paths = [cell(Path("runs"), seed=seed) for seed in (0, 1)]
    for those, said in ((paths[:1], "training: the reward against the oracle"), (paths, "before -> after")):
        out = io.StringIO()
        show_end(those, Console(file=out, width=80))
        assert said in out.getvalue()


def test_a_terminal_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.report import cells

    real = cells._completion
    monkeypatch.setattr(cells, "_completion", lambda *a, **k: {**real(*a, **k), "text": "\u03c0 is not 3"})
    path = cell(Path("runs"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "rlvr_sweep", "show", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert "\\u03c0 is not 3" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from rlvr_sweep.__main__ import main\ntry: main(['show', '--help'])\nexcept SystemExit: pass\n"
    code += "print({'torch', 'trl', 'matplotlib', 'pyarrow', 'numpy', 'hydra'} & set(sys.modules))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "CELL" in done.stdout and done.stdout.endswith("set()\n")
