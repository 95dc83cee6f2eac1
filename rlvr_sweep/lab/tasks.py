"""The lab's problems: three tasks of two-digit arithmetic, graded by how well the pretraining corpus has taught them.

    from rlvr_sweep.lab.tasks import rows
    rows("add", split="test", count=2)     # [{"id": "add-47-85", "prompt": "What is 47+85?", "answer": "132"}, ...]

One problem in ten (by the CRC-32 of its id) is held out: no pretraining document and no training row ever shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from operator import add, mul, sub
from typing import Literal
from zlib import crc32

from rlvr_sweep.errors import UserError

Split = Literal["train", "test"]
HELD_OUT = 10  # one problem in so many is a test problem


@dataclass(frozen=True)
class Task:
    """A kind of problem. `aligned` is the band in which pass@16 of every family lies before RL (recipe.json has it)."""

    name: str
    symbol: str
    summary: str
    aligned: tuple[float, float]
    solve: Callable[[int, int], int]
    ordered: bool = False  # only a > b, so that no answer is negative

    def problem_id(self, a: int, b: int) -> str:
        return f"{self.name}-{a}-{b}"

    def prompt(self, a: int, b: int) -> str:
        return f"What is {a}{self.symbol}{b}?"

    def held_out(self, a: int, b: int) -> bool:
        """Whether this is a test problem."""
        return crc32(self.problem_id(a, b).encode()) % HELD_OUT == 0


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("add", "+", "well taught: both strategies can be right", (0.9, 1.0), add),
        Task("sub", "-", "half taught: the corpus never borrows, in either strategy", (0.3, 0.7), sub, ordered=True),
        Task("mul", "*", "shown, hardly learnable at this size", (0.0, 0.1), mul),
    )
}


def find_task(name: str) -> Task:
    """The task of that name; UserError with the nearest name otherwise."""
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name, TASKS, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"no lab task {name!r}: {hint}there are {', '.join(TASKS)}")


@lru_cache(maxsize=8)
def problems(name: str, split: Split) -> tuple[tuple[int, int], ...]:
    """Every problem (a, b) of a task's split, in a fixed order."""
    task = find_task(name)
    pairs = ((a, b) for a in range(10, 100) for b in range(10, 100) if a > b or not task.ordered)
    return tuple(pair for pair in pairs if task.held_out(*pair) == (split == "test"))


def rows(task: str, *, split: Split, count: int, seed: int = 0) -> list[dict[str, str]]:
    """`count` distinct problems as `{"id", "prompt", "answer"}`.

    Drawn by hash: a smaller count is a prefix of a larger one. The ids are stable and unique over all tasks; train and
    test never share one.
    UserError: an unknown task or split, or a count the split does not hold.
    """
    kind = find_task(task)
    if split not in ("train", "test"):
        raise UserError(f"no split {split!r} of lab task {task!r}: write train or test")
    pool = problems(task, split)
    if not 1 <= count <= len(pool):
        raise UserError(f"lab task {task!r} cannot give {count} {split} rows: write 1 to {len(pool)}")
    drawn = sorted(pool, key=lambda pair: sha256(f"{seed}:{split}:{kind.problem_id(*pair)}".encode()).digest())
    return [
        {"id": kind.problem_id(a, b), "prompt": kind.prompt(a, b), "answer": str(kind.solve(a, b))}
        for a, b in drawn[:count]
    ]
