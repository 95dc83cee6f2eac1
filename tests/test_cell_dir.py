"""A cell's directory: made once, refused where it is not ours to read, never rewritten."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlvr_sweep.cell_dir import CellDir, Locked, holder
from rlvr_sweep.errors import UserError


def test_the_same_cell_has_the_same_directory(make_cell: Callable[..., CellDir]) -> None:
    first = make_cell()
    first.status(state="failed", reason="x")
    assert make_cell().path == first.path
    assert make_cell().read_status()["reason"] == "x"
    assert make_cell("seed=1").path != first.path


def test_the_cell_survives_the_way_through_the_file(make_cell: Callable[..., CellDir]) -> None:
    parts = "reward.of=[ground_truth, {name: inverse, of: python}]"
    directory = make_cell("reward=all_of", parts, "model.lora={rank: 4}")
    assert CellDir(directory.path).cell.model_dump() == directory.cell.model_dump()
    assert directory.cell.reward.model_dump()["name"] == "all_of"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no cell"),
        ("{", "broken JSON"),
        ('{"format": 99}', "directory format 99, this version reads 1"),
    ],
)
def test_what_is_no_cell_of_this_version_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "cell.json").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        CellDir(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_directory_of_another_version_is_not_overwritten(make_cell: Callable[..., CellDir]) -> None:
    file = make_cell().path / "cell.json"
    file.write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="format 99"):
        make_cell()
    assert json.loads(file.read_text()) == {"format": 99}


@pytest.mark.parametrize("damage", [b'{"state": "run', b"\xff\x00", b"[1, 2]", b""])
def test_a_damaged_status_is_named_and_set_aside(make_cell: Callable[..., CellDir], damage: bytes) -> None:
    directory = make_cell()
    (directory.path / "status.json").write_bytes(damage)
    status = directory.read_status()
    assert (status["state"], status["reason"]) == ("pending", "status.json is damaged")
    directory.status(state="running", attempt=1)
    assert directory.read_status()["state"] == "running"
    assert (directory.path / "status.json.damaged").read_bytes() == damage


def test_failures_are_counted(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell()
    directory.fail("x", code=1)
    directory.status(state="running")
    directory.fail("y", code=1)
    status = directory.read_status()
    assert (status["failures"], status["reason"], status["state"]) == (2, "y", "failed")


def test_looking_whether_a_cell_is_held_does_not_hold_it(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell()
    assert holder(directory.path) is None
    with directory.lock():
        assert "process" in (holder(directory.path) or "")
        with pytest.raises(Locked, match="is being run by process"), CellDir(directory.path).lock():
            pass
    assert holder(directory.path) is None


def test_attempts_are_numbered(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell()
    assert [directory.next_attempt(), directory.next_attempt()] == [1, 2]
