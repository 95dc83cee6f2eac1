"""Puzzles: make a number from given numbers, each used once, by + - * / and brackets. Each difficulty adds a number.

    FAMILY.problem(0, 1).prompt       # "Use each of the numbers 3, 5, 8 exactly once ... the value 23 ..."

Many expressions are right; the verifier works out the one it is shown.
"""

from fractions import Fraction

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import by_expression

FEWEST = 2  # numbers, to which each difficulty adds one
LARGEST_TARGET = 999


def make(draws: Draws, difficulty: int) -> Instance:
    """difficulty + 2 numbers from 1 to 13, and a whole number that they make."""
    while True:
        numbers = [draws.between(1, 13) for _ in range(FEWEST + difficulty)]
        text, value = _combined(draws, numbers)
        if value.denominator == 1 and 1 <= value <= LARGEST_TARGET and value not in numbers:
            break
    given = ", ".join(map(str, sorted(numbers)))
    full = (
        f"Use each of the numbers {given} exactly once, with the signs + - * / and brackets as you need them, to "
        f"write an expression whose value is {value}.\n{ENDING.format(form='(2 + 3) * 4')}"
    )
    terse = f"{' '.join(map(str, sorted(numbers)))} make {value}?"
    return Instance(f"{sorted(numbers)} {value}", full, terse, text, len(numbers))


def _combined(draws: Draws, numbers: list[int]) -> tuple[str, Fraction]:
    """The numbers, joined two by two in a drawn order into one expression, and its value."""
    parts = [(str(n), Fraction(n)) for n in numbers]
    while len(parts) > 1:
        (left, x), (right, y) = draws.some(parts, 2)
        parts.remove((left, x))
        parts.remove((right, y))
        is_even = y != 0 and (x / y).denominator == 1  # as people who make such puzzles divide
        signs = ["+", "-", "*", "/"] if is_even else ["+", "-", "*"]
        sign = draws.one(signs)
        value = x + y if sign == "+" else x - y if sign == "-" else x * y if sign == "*" else x / y
        parts.append((f"({left} {sign} {right})", value))
    text, value = parts[0]
    return text[1:-1], value


judge = by_expression
FAMILY = Family("target", 6, "numbers", make, judge)
