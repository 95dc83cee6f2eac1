r"""Calculations that no corpus holds: expressions of 1 to 20 operations drawn from a seed, with exact answers.

problem(steps=2, seed=0, number=7)   # {"id": "random-calculation-0-2-7", "prompt": "Calculate ...", "answer": ...}

In the manner of RandomCalculation (arXiv 2507.10532; spurious_rewards, section 8): operands are the integers 0 to 100,
fractions of two of them, squares and cubes; the operations are + - * /. Ours: the answer is exact, and an operation
that would give a numerator or denominator beyond LARGEST is drawn again, so that answers can be written down.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from rlvr_sweep.draws import draw
from rlvr_sweep.errors import UserError

LARGEST = 10**9
TRIES = 1000  # of one operation, and of one problem that must not come twice
ADD, TIMES, ATOM = 1, 2, 3  # how tightly an expression binds


class Expression(NamedTuple):
    value: Fraction
    text: str  # LaTeX
    binds: int


class Draws:
    """Draws for one problem: each a hash of what it is for and of how many came before."""

    def __init__(self, seed: int, *keys: int) -> None:
        self.seed, self.keys, self.count = seed, keys, 0

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1."""
        self.count += 1
        return draw(self.seed, "random_calculation", *self.keys, self.count) % n


def operand(draws: Draws) -> Expression:
    """An integer (half of the time), a fraction, a square or a cube."""
    kind, number = draws.below(6), draws.below(101)
    if kind == 3:
        below = 1 + draws.below(100)
        return Expression(Fraction(number, below), rf"\frac{{{number}}}{{{below}}}", ATOM)
    if kind in (4, 5):
        power = kind - 2
        return Expression(Fraction(number**power), f"{number}^{power}", ATOM)
    return Expression(Fraction(number), str(number), ATOM)


def join(sign: str, left: Expression, right: Expression) -> Expression | None:
    """left sign right, in brackets where they are needed; None where it has no value, or too large a one."""
    if sign == "/" and right.value == 0:
        return None
    value = {
        "+": lambda: left.value + right.value,
        "-": lambda: left.value - right.value,
        "*": lambda: left.value * right.value,
        "/": lambda: left.value / right.value,
    }[sign]()
    if abs(value.numerator) > LARGEST or value.denominator > LARGEST:
        return None
    binds = ADD if sign in "+-" else TIMES
    before = left.text if left.binds >= binds else f"({left.text})"
    # a - (b + c) and a / (b * c) need their brackets, a + (b - c) and a * (b / c) do not
    loose = right.binds < binds or (right.binds == binds and sign in "-/")
    behind = f"({right.text})" if loose else right.text
    return Expression(value, f"{before} {_LATEX[sign]} {behind}", binds)


_LATEX = {"+": "+", "-": "-", "*": r"\times", "/": r"\div"}


def expression(steps: int, draws: Draws) -> Expression:
    """A tree of `steps` operations; each operation joins two smaller trees."""
    if steps == 0:
        return operand(draws)
    for _ in range(TRIES):
        before = draws.below(steps)
        left, right = expression(before, draws), expression(steps - 1 - before, draws)
        found = join("+-*/"[draws.below(4)], left, right)
        if found is not None:
            return found
    raise ValueError(f"no expression of {steps} steps with numbers up to {LARGEST} in {TRIES} draws")


def problem(*, steps: int, seed: int, number: int) -> dict[str, str | int]:
    """The problem of that number, of `steps` operations (at least 1). Its gold answer is an integer or a reduced
    fraction in LaTeX."""
    found = expression(steps, Draws(seed, steps, number))
    return {
        "id": f"random-calculation-{seed}-{steps}-{number}",
        "prompt": f"Calculate ${found.text}$ exactly, as an integer or a fraction.",
        "answer": latex(found.value),
        "steps": steps,
    }


def latex(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return rf"{'-' * (value < 0)}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def rows(*, steps: Sequence[int], count: int, seed: int) -> list[dict[str, str | int]]:
    """`count` problems of each number of steps, no prompt twice. A smaller count is a prefix of a larger one."""
    found, seen = [], set()
    for length in steps:
        number = made = 0
        while made < count:
            row = problem(steps=length, seed=seed, number=number)
            number += 1
            if row["prompt"] not in seen:
                seen.add(row["prompt"])
                found.append(row)
                made += 1
    return found


def write(path: Path, *, steps: Sequence[int], count: int, seed: int) -> int:
    """Write `rows` as JSON lines; their number. UserError where the file is there with other rows, or cannot be
    written."""
    from rlvr_sweep.cell_dir import write_atomically

    if path.is_dir():
        raise UserError(f"{path}: is a folder; write --out {path / 'random_calculation.jsonl'}")
    text = "".join(json.dumps(row) + "\n" for row in rows(steps=steps, count=count, seed=seed))
    if path.exists() and path.read_bytes() != text.encode():
        raise UserError(f"{path}: is there and holds something else; write another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); write another --out") from None
    return text.count("\n")
