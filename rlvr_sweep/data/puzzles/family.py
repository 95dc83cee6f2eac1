"""What a puzzle family is: problems drawn by hash from (family, difficulty, seed, index), and the verifier's verdict.

FAMILY.problem(7, 3)          # Row(id="cipher-3-5f0c...", prompt=..., answer=..., columns={...})
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

from rlvr_sweep.data.rows import Row
from rlvr_sweep.draws import draw
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading.verdict import Outcome, Verdict

HELD_OUT = 10  # one problem in so many is a test problem
ENDING = "Give the final answer in double square brackets, like this: [[{form}]]."

T = TypeVar("T")


class Draws:
    """Random choices from hashes: the same in every process, version and machine, and none depends on a stream."""

    def __init__(self, seed: int, *keys: str | int) -> None:
        self._seed, self._keys, self._taken = seed, keys, 0

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        self._taken += 1
        return draw(self._seed, "puzzle", *self._keys, self._taken) % n

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + self.below(high - low + 1)

    def one(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """`count` of the options, each at most once, in a drawn order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(count)]


@dataclass(frozen=True)
class Instance:
    """One problem: `content` names what is asked (equal contents are one problem), `full` and `terse` put it in words,
    `size` is what grows with the difficulty."""

    content: str
    full: str
    terse: str
    answer: str
    size: int


class Judge(Protocol):
    def __call__(self, *, gold: str, answer: str) -> Outcome: ...


@dataclass(frozen=True)
class Family:
    """`levels`: the highest difficulty, 1 being the lowest. `size` says what an instance's size counts."""

    name: str
    levels: int
    size: str
    make: Callable[[Draws, int], Instance]
    judge: Judge

    def problem(self, index: int, difficulty: int, *, seed: int = 0, wording: str = "full") -> Row:
        """Problem `index` of a difficulty, a pure function of the arguments. `wording`: "full" is English for any
        model, "terse" fits a lab model's 64 tokens at the low difficulties. UserError: a difficulty out of range."""
        if not 1 <= difficulty <= self.levels:
            near = max(1, min(difficulty, self.levels))
            raise UserError(f"puzzle {self.name!r} has difficulties 1 to {self.levels}; write a difficulty of {near}")
        made = self.make(Draws(seed, self.name, difficulty, index), difficulty)
        mark = blake2b(made.content.encode(), digest_size=6).hexdigest()
        columns: dict[str, Any] = {"family": self.name, "difficulty": difficulty, "size": made.size}
        prompt = made.terse if wording == "terse" else made.full
        return Row(f"{self.name}-{difficulty}-{mark}", prompt, made.answer, columns)

    def held_out(self, row: Row) -> bool:
        """Whether a row is a test problem: by the hash of its content."""
        mark = row.id.rpartition("-")[2]  # not the difficulty: one content is in one split, whatever it is called
        return int(mark, 16) % HELD_OUT == 0

    def verify(self, answer_text: str, row: Row) -> Verdict:
        """The verdict on an extracted answer: the row's own is right, and so is every other right one."""
        return Verdict(*self.judge(gold=row.answer, answer=answer_text))
