"""Puzzles: sums whose sign means something else, for the lab: its models know `What is 47+85?` and little more.

    FAMILY.problem(0, 3, wording="terse").prompt       # "What is 47#85?"

The terse wording leaves the meaning out: it is the same in all problems of a difficulty, and the reward tells it. So
the difficulty is a dial of alignment; LEVELS has what was measured of the lab models before RL.
"""

from dataclasses import dataclass

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import by_number


@dataclass(frozen=True)
class Level:
    symbol: str
    plus: int
    departures: int  # from what lab models have read


LEVELS = (  # pass@16 of qwen_math, qwen, olmo, llama; 64 test problems, 16 samples at T 1
    Level("+", 0, 0),  # .91 .98 .94 .98
    Level("+", 10, 1),  # .19 .58 .66 .41
    Level("#", 0, 1),  # .53 .45 .11 .72
    Level("#", 1, 2),  # .11 .11 .05 .22
    Level("-", 0, 3),  # .06 .02 .02 .00
)


def make(draws: Draws, difficulty: int) -> Instance:
    """Two numbers of two digits, and a sum with a constant under another sign."""
    level = LEVELS[difficulty - 1]
    a, b = draws.between(10, 99), draws.between(10, 99)
    more = f" + {level.plus}" if level.plus else ""
    meaning = (
        f"In this task the sign {level.symbol} has a meaning of its own: x {level.symbol} y stands for x + y{more}, "
        "where + is the usual sum. "
    )
    asked_in_full = f"What is {a} {level.symbol} {b}?\n{ENDING.format(form='number')}"
    full = (meaning if level.departures else "") + asked_in_full
    asked = f"{a}{level.symbol}{b}"
    answer = str(a + b + level.plus)
    return Instance(f"{level} {asked}", full, f"What is {asked}?", answer, level.departures)


judge = by_number
FAMILY = Family("sign", len(LEVELS), "departures from the usual sum", make, judge)
