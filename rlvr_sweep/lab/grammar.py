"""How the lab's authors write: column arithmetic, as code or as language, with the mistakes that an author makes.

    from rlvr_sweep.lab.grammar import Habits, write
    print(write("add", 47, 85, strategy="code", habits=Habits(), rng=random.Random(0)))

A column reads x, y, carry in -> carry out and digit. A mistake is made in a column and carried on consistently:
a document states what it worked out, so a wrong document is wrong for a reason that a model can learn.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import Literal

from rlvr_sweep.lab.tasks import TASKS

Strategy = Literal["code", "language"]


@dataclass(frozen=True)
class Habits:
    """The mistakes of one strategy.

    slip: share of documents in which the carry is read wrongly. digit: share of digits written at random. drops_carry:
    carries are never taken along. wrong_facts: how many of the 100 digit pairs have a fixed wrong sum, the same in any
    document, so that the same problems always come out the same wrong way. no_box: share of documents that state their
    result without a box.
    """

    slip: float = 0.0
    digit: float = 0.0
    drops_carry: bool = False
    wrong_facts: int = 0
    no_box: float = 0.0


@dataclass(frozen=True)
class Column:
    x: int
    y: int
    carried: int
    carry: int
    digit: int


def below(rng: Random, n: int) -> int:
    """An integer in [0, n). Only `random()` is the same in every Python version, so that is all the lab draws from."""
    return int(rng.random() * n)


@lru_cache(maxsize=16)
def wrong_facts(symbol: str, count: int) -> dict[tuple[int, int], int]:
    """`count` of the 100 digit pairs with a wrong sum or difference, and by how much. Larger counts hold smaller."""

    def mark(pair: tuple[int, int]) -> bytes:
        return sha256(f"{symbol}{pair[0]},{pair[1]}".encode()).digest()

    pairs = sorted(((x, y) for x in range(10) for y in range(10)), key=mark)
    return {pair: 1 + mark(pair)[-1] % 9 for pair in pairs[:count]}


def columns(task: str, a: int, b: int, *, habits: Habits, rng: Random) -> list[Column]:
    """The two columns of a+b or a-b, ones first, as the author works them out. Nobody ever takes a borrow along."""
    plus = task == "add"
    facts = wrong_facts(TASKS[task].symbol, habits.wrong_facts)
    slips = rng.random() < habits.slip
    done: list[Column] = []
    carry = 0
    for place, (x, y) in enumerate(((a % 10, b % 10), (a // 10, b // 10))):
        carried = carry if plus and not habits.drops_carry else 0
        if plus and slips and place == 1:
            carried = 1 - carried
        total = x + y + carried if plus else x - y - carried
        digit = (total + facts.get((x, y), 0)) % 10
        if rng.random() < habits.digit:
            digit = below(rng, 10)
        carry = int(total > 9 or total < 0)
        done.append(Column(x, y, carried, carry, digit))
    return done


def write_columns(task: str, a: int, b: int, *, strategy: Strategy, habits: Habits, rng: Random) -> tuple[str, int]:
    """The working of a+b or a-b, and its result."""
    ones, tens = columns(task, a, b, habits=habits, rng=rng)
    result = 10 * tens.digit + ones.digit + (100 * tens.carry if task == "add" else 0)
    if strategy == "language":
        steps = " ".join(
            f"{name}:{c.x},{c.y},{c.carried} make {c.carry}{c.digit}." for name, c in (("Ones", ones), ("Tens", tens))
        )
        return f"Let us see. {steps}", result
    sign = TASKS[task].symbol
    return "\n".join(f"{c.x}{sign}{c.y}{sign}{c.carried}={c.carry}{c.digit}" for c in (ones, tens)), result


def write_product(a: int, b: int, *, strategy: Strategy, habits: Habits, rng: Random) -> tuple[str, int]:
    """The working of a*b by its two partial products, and its result."""
    parts = [a * (b % 10), a * (b // 10) * 10]
    if rng.random() < max(habits.slip, habits.digit):
        parts[0] += 1 + below(rng, 9)
    result = sum(parts)
    if strategy == "language":
        return f"Let us see. Parts:{parts[0]},{parts[1]}.", result
    return f"{parts[0]}+{parts[1]}", result


def write(task: str, a: int, b: int, *, strategy: Strategy, habits: Habits, rng: Random) -> str:
    """One author's answer to a problem: the working, then the result, boxed unless the author forgets."""
    if task == "mul":
        working, result = write_product(a, b, strategy=strategy, habits=habits, rng=rng)
    else:
        working, result = write_columns(task, a, b, strategy=strategy, habits=habits, rng=rng)
    boxed = rng.random() >= habits.no_box
    if strategy == "code":
        end = rf"\boxed{{{result}}}" if boxed else f"Output {result}."
        return f"```python\n{working}\nprint({result})\n```\n{end}"
    end = rf"\boxed{{{result}}}" if boxed else f"{result}."
    return f"{working} The answer is {end}"
