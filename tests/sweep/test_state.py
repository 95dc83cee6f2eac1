"""A cell's state is read from its directory alone: who holds it, what it last wrote, whether DONE is there."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.state import CellState, is_taken, read, states, with_queue


def directory(path: Path, **status: object) -> Path:
    path.mkdir(parents=True)
    (path / "cell.json").write_text(json.dumps({"format": 1}))
    if status:
        (path / "status.json").write_text(json.dumps(status))
    return path


@pytest.mark.parametrize("said", ["pending", "preempted", "failed"])
def test_what_was_written_stands_while_nobody_holds_it(tmp_path: Path, said: str) -> None:
    assert read(directory(tmp_path / "a", state=said)).state == said


@pytest.mark.parametrize("said", ["running", "done"])
def test_a_cell_that_nobody_holds_does_not_run(tmp_path: Path, said: str) -> None:
    state = read(directory(tmp_path / "a", state=said, pid=12, host="node1", job="7_3"))
    assert state.state == "lost"
    assert state.reason == "its process is gone (process 12 on node1, job 7_3)"


def test_done_is_what_DONE_says(tmp_path: Path) -> None:
    path = directory(tmp_path / "a", state="running")
    (path / "DONE").write_text("{}")
    assert read(path).state == "done"


def test_a_cell_that_is_held_runs(make_cell: Callable[..., CellDir]) -> None:
    cell = make_cell()
    cell.status(state="preempted", reason="asked to stop")
    with cell.lock():
        assert read(cell.path).state == "running"
    assert read(cell.path).state == "preempted"


def test_a_cell_that_ends_while_it_is_read_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = directory(tmp_path / "a", state="running")

    def holder(held: Path) -> None:  # its last words come before it lets go
        (held / "status.json").write_text(json.dumps({"state": "failed", "reason": "boom"}))

    monkeypatch.setattr("rlvr_sweep.sweep.state.holder", holder)
    assert read(path).state == "failed"


@pytest.mark.parametrize("text", ['{"state": "run', "[]", "\x00\x01", '{"state": "flying"}', '{"state": ["done"]}'])
def test_a_damaged_status_is_pending_and_says_so(tmp_path: Path, text: str) -> None:
    path = directory(tmp_path / "a")
    (path / "status.json").write_text(text)
    state = read(path)
    assert (state.state, state.reason, state.status["damaged"]) == ("pending", "status.json is damaged", True)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = directory(tmp_path / "a")
    (path / "status.json").mkdir()
    with pytest.raises(UserError, match=r"status\.json: cannot be read \(Is a directory\)"):
        read(path)


def test_states_come_in_the_order_asked_for(tmp_path: Path) -> None:
    directory(tmp_path / "x--aaa", state="failed")
    directory(tmp_path / "y--bbb")
    assert [s.state for s in states(["bbb", "ccc", "aaa"], tmp_path)] == ["pending", "new", "failed"]
    assert [s.state for s in states(["aaa"], tmp_path / "none")] == ["new"]


def test_the_queue_is_asked_only_for_cells_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def completed(found: list[CellState]) -> list[CellState]:
        asked.append(len(found))
        return [CellState(s.cell_id, s.path, "queued", s.status) for s in found]

    monkeypatch.setitem(sys.modules, "rlvr_sweep.sweep.queue", SimpleNamespace(completed=completed))
    local = [CellState("a", Path("a"), "pending", {}), CellState("b", Path("b"), "done", {"job": "7_1"})]
    assert with_queue(local) == local and asked == []
    assert [s.state for s in with_queue([CellState("c", Path("c"), "pending", {"job": "7_2"})])] == ["queued"]


@pytest.mark.parametrize(
    ("state", "failures", "retry", "taken"),
    [
        ("new", 0, False, True),
        ("lost", 0, False, True),
        ("queued", 0, False, False),
        ("running", 0, True, False),
        ("done", 0, True, False),
        ("failed", 1, False, False),
        ("failed", 1, True, True),
        ("failed", 3, True, False),
    ],
)
def test_what_a_launch_takes(state: str, failures: int, retry: bool, taken: bool) -> None:
    cell = CellState("a", Path("a"), state, {"failures": failures})  # type: ignore[arg-type]
    assert is_taken(cell, retry=retry, max_failures=3) is taken
