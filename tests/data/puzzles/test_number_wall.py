"""Number walls: solved again from the bricks that are shown, by trying every bottom row that is small enough."""

import itertools

import pytest

from rlvr_sweep.data.puzzles.number_wall import FAMILY


def walls(prompt: str) -> list[str]:
    """All walls over bottom rows of 0 to 12 that agree with the question."""
    shown = [line.split() for line in prompt.split("\n\n")[1].splitlines()]
    found = []
    for bottom in itertools.product(range(13), repeat=len(shown)):
        wall = [list(bottom)]
        while len(wall[0]) > 1:
            wall.insert(0, [x + y for x, y in itertools.pairwise(wall[0])])
        agrees = all(
            cell in ("?", str(number))
            for row, known in zip(wall, shown, strict=True)
            for number, cell in zip(row, known, strict=True)
        )
        if agrees:
            found.append(", ".join(" ".join(map(str, row)) for row in wall))
    return found


@pytest.mark.parametrize(("difficulty", "count"), [(1, 30), (2, 5)])
def test_there_is_exactly_one_wall_and_it_is_the_answer(difficulty: int, count: int) -> None:
    for index in range(count):
        row = FAMILY.problem(index, difficulty)
        assert walls(row.prompt) == [row.answer]


def test_as_many_bricks_are_shown_as_rows_there_are() -> None:
    for difficulty in (1, 4, 7):
        row = FAMILY.problem(0, difficulty)
        shown = row.prompt.split("\n\n")[1].split()
        assert sum(cell != "?" for cell in shown) == difficulty + 2


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("11, 7 4, 6 1 3", (True, "equal")),
        ("11\n7 4\n6 1 3", (True, "equal")),
        ("[11],[7,4],[6,1,3]", (True, "equal")),
        ("11, 7 4, 6 1 4", (False, "not_equal")),
        ("11, 4 7, 6 1 3", (False, "wrong_order")),
        ("11, 7 4", (False, "wrong_count")),
        ("11 7 4 6 1 3", (False, "wrong_count")),
        ("11, 7 4, 6 1 3, 0", (False, "wrong_count")),
        ("the wall 11, 7 4, 6 1 3", (False, "extra_text")),
    ],
)
def test_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 1)
    assert row.answer == "11, 7 4, 6 1 3"
    assert FAMILY.verify(answer, row) == verdict
