"""`gc`: what may go goes, only when told; a record, a checkpoint that is needed and a running cell stay."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.sweep import gc

Capture = pytest.CaptureFixture[str]


def write(path: Path, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


@pytest.fixture
def cell(make_cell: Callable[..., CellDir]) -> CellDir:
    """One that was stopped: a sound checkpoint, a half-written one, a damaged one, a record."""
    directory = make_cell()
    directory.status(state="preempted", attempt=1)
    for name in ("metrics.jsonl", "rollouts/part-00001.parquet", "evals/add/step-00000.parquet", "attempts/1/log.txt"):
        write(directory.path / name)
    folder = directory.path / "checkpoints"
    write(folder / "checkpoint-4" / "model.safetensors")
    write(folder / "checkpoint-4" / "COMPLETE")
    write(folder / "checkpoint-6" / "model.safetensors", 5000)
    write(folder / "damaged-checkpoint-2" / "optimizer.pt", 7000)
    write(directory.path / "model.partial" / "model.safetensors")
    write(directory.path / "evals" / "add" / "damaged-step-00002.parquet")
    write(directory.path / "status.json.damaged")
    write(directory.path / ".status.json.4711.tmp")
    return directory


def files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def run(directory: CellDir, *argv: str) -> int:
    return main(["gc", "--runs", str(directory.path.parent), *argv])


KEPT = {
    "cell.json",
    "status.json",
    "metrics.jsonl",
    "rollouts/part-00001.parquet",
    "evals/add/step-00000.parquet",
    "attempts/1/log.txt",
    "lock",
}


def test_it_lists_and_removes_nothing_unless_told(cell: CellDir, capsys: Capture) -> None:
    before = files(cell.path)
    assert run(cell) == 0
    out = capsys.readouterr().out
    assert files(cell.path) == before
    assert "damaged-checkpoint-2" in out and "7 kB" in out and "--yes" in out
    assert "checkpoint-4" not in out.replace("damaged-checkpoint", "")


def test_a_cell_that_is_not_done_keeps_what_it_goes_on_from(cell: CellDir) -> None:
    assert run(cell, "--yes") == 0
    sound = {"checkpoints/checkpoint-4/model.safetensors", "checkpoints/checkpoint-4/COMPLETE"}
    assert files(cell.path) == KEPT | sound


def test_a_done_cell_needs_no_checkpoint(cell: CellDir, capsys: Capture) -> None:
    write(cell.path / "model" / "model.safetensors")
    (cell.path / "DONE").write_text("{}")
    assert run(cell, "--yes") == 0
    assert files(cell.path) == KEPT | {"DONE", "model/model.safetensors"}
    capsys.readouterr()
    assert run(cell, "--yes") == 0
    assert "nothing to remove in 1 cells" in capsys.readouterr().out


def test_a_running_cell_is_left_alone(cell: CellDir, capsys: Capture) -> None:
    before = files(cell.path) | {"lock"}
    with cell.lock():
        assert run(cell, "--yes") == 0
    assert files(cell.path) == before
    assert "runs, left alone" in capsys.readouterr().out


def test_what_links_point_to_is_not_ours(cell: CellDir, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "precious.partial")
    (cell.path / "link").symlink_to(elsewhere.parent)
    (cell.path / "old.partial").symlink_to(elsewhere)
    assert run(cell, "--yes") == 0
    assert elsewhere.is_file() and (cell.path / "link").is_symlink()
    assert not (cell.path / "old.partial").is_symlink()


def test_json_and_what_cannot_be_removed(cell: CellDir, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(cell, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["removed"] and {each["why"] for each in found["waste"]} == {"half written", "set aside as damaged"}
    assert sum(each["bytes"] for each in found["waste"]) == 5000 + 7000 + 4 * 1000

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(gc, "_remove", refuse)
    assert run(cell, "--yes") == 1
    assert "cannot be removed (Permission denied)" in capsys.readouterr().out


def test_a_wrong_folder_or_name_is_told(cell: CellDir, capsys: Capture) -> None:
    assert main(["gc", "--runs", "nowhere"]) == 2
    assert "--runs DIR" in capsys.readouterr().err
    assert run(cell, "no-such-cell") == 2
