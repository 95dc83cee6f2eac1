"""A cell's directory: made once, refused where it is not ours to read, never rewritten."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlvr_sweep.cell_dir import CellDir
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


def test_a_damaged_status_is_named_not_raised(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell()
    (directory.path / "status.json").write_text('{"state": "run')
    assert directory.read_status()["reason"] == "status.json is damaged"


def test_attempts_are_numbered(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell()
    assert [directory.next_attempt(), directory.next_attempt()] == [1, 2]
