"""A sweep takes what is missing and nothing else, and is on the record as a whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import Composed, compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep import local
from rlvr_sweep.sweep.launch import launch
from rlvr_sweep.sweep.manifest import Manifest
from tests.conftest import TINY

Launch = Callable[..., list[str]]


@pytest.fixture
def grid(tmp_path: Path) -> Callable[..., list[Composed]]:
    return lambda *lines: compose_or_refuse([*TINY, f"runs={tmp_path}", *lines], multirun=True)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells the local launcher was given; nothing runs."""
    names: list[str] = []

    def run(directories: list[CellDir], **_: object) -> int:
        names.extend(d.cell_id for d in directories)
        return 0

    monkeypatch.setattr(local, "run", run)
    return names


def start(cells: list[Composed], *, multirun: bool = True) -> int:
    return launch(cells, launcher="local", command=["x"], multirun=multirun)


def directory(cell: Composed) -> CellDir:
    return CellDir.create(cell)


def test_every_state_is_taken_or_left_as_it_should(
    grid: Callable, started: list[str], capsys: pytest.CaptureFixture
) -> None:
    cells = grid("seed=range(0,7)")
    new, done, failed, preempted, lost, running, pending = cells
    (directory(done).path / "DONE").touch()
    directory(failed).fail("broken", code=1)
    directory(preempted).status(state="preempted")
    directory(lost).status(state="running", pid=1, host="elsewhere")  # and nobody holds its lock
    directory(pending)
    with directory(running).lock():
        assert start(cells) == 0
    assert set(started) == {c.cell_id for c in (new, preempted, lost, pending)}
    said = capsys.readouterr().out
    assert "7 cells: 1 done, 1 failed, 1 lost, 1 new, 1 pending, 1 preempted, 1 running" in said
    assert "1 failed before" in said
    assert "is being run by process" in said


def test_failed_cells_are_taken_when_asked_for_until_they_failed_too_often(grid: Callable, started: list[str]) -> None:
    [cell] = cells = grid("seed=0", "sweep.retry=true")
    directory(cell).fail("broken", code=1)
    start(cells)
    assert started == [cell.cell_id]
    directory(cell).fail("broken", code=1)
    directory(cell).fail("broken", code=1)
    start(cells)
    assert started == [cell.cell_id]
    start(grid("seed=0", "sweep.retry=true", "sweep.max_failures=4"))
    assert len(started) == 2


def test_one_cell_alone_is_run_again_after_a_failure(grid: Callable, started: list[str]) -> None:
    cells = grid("seed=0")
    directory(cells[0]).fail("broken", code=1)
    start(cells, multirun=False)
    assert started == [cells[0].cell_id]


def test_the_manifest_lists_all_cells_before_anything_runs(grid: Callable, started: list[str], tmp_path: Path) -> None:
    cells = grid("seed=0,1", "sweep.name=pilot")
    start(cells)
    rows = [json.loads(line) for line in (tmp_path / "_sweeps/pilot/manifest.jsonl").read_text().splitlines()]
    assert [row["cell_id"] for row in rows] == [c.cell_id for c in cells]
    assert "seed=1" in rows[1]["overrides"]


def test_a_sweep_grows_under_its_name_and_only_new_cells_start(
    grid: Callable, started: list[str], tmp_path: Path
) -> None:
    first = grid("seed=0,1", "sweep.name=pilot")
    start(first)
    for cell in first:
        (directory(cell).path / "DONE").touch()
    started.clear()
    more = grid("seed=1,2", "sweep.name=pilot")
    start(more)
    assert started == [more[1].cell_id]
    manifest = Manifest.open("pilot", runs=tmp_path)
    assert [row["cell_id"] for row in manifest.rows] == [first[0].cell_id, first[1].cell_id, more[1].cell_id]


def test_the_same_grid_is_the_same_sweep(grid: Callable, started: list[str], tmp_path: Path) -> None:
    start(grid("seed=0,1"))
    start(grid("seed=1,0"))
    assert len(list((tmp_path / "_sweeps").glob("*/manifest.jsonl"))) == 1


def test_a_damaged_manifest_is_named(grid: Callable, started: list[str], tmp_path: Path) -> None:
    start(grid("seed=0,1", "sweep.name=pilot"))
    file = tmp_path / "_sweeps/pilot/manifest.jsonl"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(UserError, match=r"manifest.jsonl, line 2: broken JSON"):
        start(grid("seed=0,1", "sweep.name=pilot"))


def test_an_unknown_sweep_is_refused_with_the_nearest(grid: Callable, started: list[str], tmp_path: Path) -> None:
    start(grid("seed=0,1", "sweep.name=pilot"))
    with pytest.raises(UserError, match=r"no sweep of that name.*pilot"):
        Manifest.open("pilto", runs=tmp_path)
