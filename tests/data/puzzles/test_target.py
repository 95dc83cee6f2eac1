"""Targets: any expression of the given numbers that makes the number is right, and no other."""

import re

import pytest

from rlvr_sweep.data.puzzles.target import FAMILY


@pytest.mark.parametrize("difficulty", [1, 3, 6])
def test_the_gold_expression_makes_the_number_of_the_numbers(difficulty: int) -> None:
    for index in range(40):
        row = FAMILY.problem(index, difficulty)
        given = re.search(r"numbers ([\d, ]+) exactly", row.prompt)
        wanted = re.search(r"value is (\d+)\.", row.prompt)
        assert given and wanted
        used = sorted(map(int, re.findall(r"\d+", row.answer)))
        assert used == sorted(map(int, given[1].split(","))) and len(used) == difficulty + 2
        assert eval(row.answer) == int(wanted[1])


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("9 * (5 * 12)", (True, "equal")),
        ("12*9*5", (True, "equal")),
        ("12*9*5 = 540", (True, "equal")),
        (r"12 \times 9 \times 5", (True, "equal")),
        ("12 × 9 × 5", (True, "equal")),  # noqa: RUF001
        ("540", (False, "wrong_items")),
        ("9 * 60", (False, "wrong_items")),
        ("9 * 5 * 12 * 12 / 12", (False, "wrong_items")),
        ("9 * 5 + 12", (False, "not_equal")),
        ("12*9*5 = 541", (False, "wrong_form")),
        ("12*9*5 = ²", (False, "wrong_form")),  # a digit by its name that no number is made of
        ("12*9*5 = 0540", (True, "equal")),
        ("12*9*5 = 5400000000000", (False, "wrong_form")),
        ("(12*9*5", (False, "wrong_form")),
        ("12*9*5 is it", (False, "wrong_form")),
        ("12**9*5", (False, "wrong_form")),
        ("5*12/(9-9)", (False, "wrong_form")),
        ("__import__('os')", (False, "wrong_form")),
        ("(" * 5000 + "9", (False, "wrong_form")),
    ],
)
def test_right_ones_and_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 1)
    assert row.answer == "9 * (5 * 12)"
    assert FAMILY.verify(answer, row) == verdict
