"""Sums under another sign: the meaning is stated in full, left out for lab models, and the same in all of a level."""

import re

import pytest

from rlvr_sweep.data.puzzles.sign import FAMILY


@pytest.mark.parametrize("difficulty", range(1, 6))
def test_the_answer_follows_from_the_question(difficulty: int) -> None:
    for index in range(20):
        row, terse = FAMILY.problem(index, difficulty), FAMILY.problem(index, difficulty, wording="terse")
        a, b = map(int, re.findall(r"\d\d", terse.prompt))
        meaning = re.search(r"stands for x \+ y(?: \+ (\d+))?, where", row.prompt)
        assert (meaning is None) == (difficulty == 1)
        more = int(meaning[1] or 0) if meaning else 0
        assert row.answer == terse.answer == str(a + b + more)
        assert row.id == terse.id and re.fullmatch(r"What is \d\d[-+#]\d\d\?", terse.prompt)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("66", (True, "equal")),
        ("67", (False, "not_equal")),
        ("42", (False, "not_equal")),
        ("54+12=66", (False, "extra_text")),
    ],
)
def test_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 3)
    assert row.answer == "66"
    assert FAMILY.verify(answer, row) == verdict
