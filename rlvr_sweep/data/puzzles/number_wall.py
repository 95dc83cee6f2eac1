"""Puzzles: number walls. Each brick is the sum of the two below it; some are given, all are asked for.

    FAMILY.problem(0, 1).prompt       # a wall of three rows, three of its six bricks given

As many bricks are given as the bottom row has, and so that there is exactly one wall: the equations have full rank.
"""

import re
from itertools import pairwise
from math import comb

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import by_grid, clean
from rlvr_sweep.grading.verdict import Outcome

BASE_ROWS = 2  # to which each difficulty adds one
LARGEST = 9  # number of the bottom row
PRIME = 2**61 - 1
Place = tuple[int, int]  # row from the top, brick from the left


def make(draws: Draws, difficulty: int) -> Instance:
    """A wall of difficulty + 2 rows."""
    rows = BASE_ROWS + difficulty
    bottom = [draws.between(1, LARGEST) for _ in range(rows)]
    wall = [bottom]
    while len(wall[0]) > 1:
        below = wall[0]
        wall.insert(0, [x + y for x, y in pairwise(below)])
    given = _given(draws, rows)
    shown = [[str(n) if (i, j) in given else "?" for j, n in enumerate(row)] for i, row in enumerate(wall)]
    answer = ", ".join(" ".join(str(n) for n in row) for row in wall)
    drawn = "\n".join(" ".join(row) for row in shown)
    full = (
        f"A number wall has {rows} rows of bricks. Each brick that is not in the bottom row rests on two bricks, and "
        f"its number is the sum of theirs: brick k of a row rests on the bricks k and k + 1 of the row below. "
        f"Find every number that is a question mark. From top to bottom:\n\n{drawn}\n\n"
        "Write the whole wall from top to bottom, blanks between the numbers of a row and a comma after each row.\n"
        f"{ENDING.format(form='8, 3 5')}"
    )
    terse = "/".join(" ".join(row) for row in shown)
    return Instance(terse, full, terse, answer, rows)


def _given(draws: Draws, rows: int) -> set[Place]:
    """`rows` bricks that determine the wall, not all of the bottom row: that would be mere addition."""
    places = [(i, j) for i in range(rows) for j in range(i + 1)]
    while True:
        known: dict[int, list[int]] = {}  # equations in echelon form, by the column of their first number
        chosen: set[Place] = set()
        for place in draws.some(places, len(places)):
            if len(chosen) < rows and _adds(place, known, rows):
                chosen.add(place)
        if any(i < rows - 1 for i, _ in chosen):
            return chosen


def _adds(place: Place, known: dict[int, list[int]], rows: int) -> bool:
    """Whether a brick says something new of the bottom row; if so it joins what is known.

    Brick (i, j) is a sum of binomial multiples of the bottom row. Computed modulo a prime: what is of full rank there
    is so in numbers.
    """
    i, j = place
    height = rows - 1 - i
    equation = [comb(height, k - j) if 0 <= k - j <= height else 0 for k in range(rows)]
    for column in range(rows):
        if not equation[column]:
            continue
        if column not in known:
            inverse = pow(equation[column], -1, PRIME)
            known[column] = [n * inverse % PRIME for n in equation]
            return True
        factor = equation[column]
        equation = [(n - factor * m) % PRIME for n, m in zip(equation, known[column], strict=True)]
    return False


def judge(*, gold: str, answer: str) -> Outcome:
    """Every number of the wall, row by row; words around it make it another answer."""
    outcome = by_grid(gold=gold, answer=answer)
    if outcome[0] is False and re.search(r"[A-Za-z]", clean(answer)):
        return False, "extra_text" if re.search(r"\d", answer) else "wrong_form"
    return outcome


FAMILY = Family("number_wall", 7, "rows", make, judge)
