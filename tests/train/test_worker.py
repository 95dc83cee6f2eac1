"""What a cell says of its end where several ranks fail."""

from collections.abc import Callable
from typing import Any

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.errors import UserError
from rlvr_sweep.protocol import FAILED, USER_ERROR
from rlvr_sweep.train import worker


def end(directory: CellDir, monkeypatch: pytest.MonkeyPatch, *, first: Exception, then: Exception) -> dict[str, Any]:
    """The status of a cell whose rank 1 fails by one error, and its rank 0 by another after that."""

    def train(directory: CellDir, *, say: Any, is_main: bool, began: float) -> bool:
        if not is_main:
            raise first
        with pytest.MonkeyPatch.context() as other:
            other.setenv("RANK", "1")
            worker.main([str(directory.path)])
        raise then

    monkeypatch.setattr(worker, "train", train)
    worker.main([str(directory.path)])
    return directory.read_status()


def test_one_attempt_is_one_failure_and_the_first_rank_says_why(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_cell("compute.ranks=2")
    echo = RuntimeError("[gloo] Connection closed by peer")
    for attempt in (1, 2):
        status = end(directory, monkeypatch, first=ZeroDivisionError("by nothing"), then=echo)
        assert (status["attempt"], status["failures"], status["exit"]) == (attempt, attempt, FAILED)
        assert status["reason"].startswith("rank 1: ")
        assert "by nothing" in status["reason"]


def test_a_mistake_that_all_ranks_find_is_said_without_a_rank(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = UserError("compute.ranks=2: write something else")
    status = end(make_cell("compute.ranks=2"), monkeypatch, first=mistake, then=mistake)
    assert (status["reason"], status["failures"], status["exit"]) == (str(mistake), 1, USER_ERROR)
