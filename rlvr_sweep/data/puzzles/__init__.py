"""Generated puzzles: no end of problems of a rule, their difficulty a knob; each has one right answer, or a verifier
that accepts every right one.

    rows("cipher", difficulty=3, split="train", count=2)       # [{"id": ..., "prompt": ..., "answer": ...}, ...]
    row = find_family("cipher").problem(7, 3)                       # the same in every process and on every machine
    find_family("cipher").verify("KHOOR", row)                 # Verdict(correct=..., reason=...)

One problem in ten, by the hash of what it asks, is held out: train and test never share one, nor do two seeds' splits.
To add a family: write puzzles/NAME.py with `make` and `judge`, and name it here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest

if TYPE_CHECKING:
    from rlvr_sweep.data.puzzles.family import Family

NAMES = ("operation", "cipher", "circuit", "number_wall", "target", "sign")
TRIES = 50  # draws a row that is wanted; more say that the family holds no further problem of this difficulty


def find_family(name: str) -> "Family":
    """The family of that name; UserError with the nearest name otherwise."""
    if name not in NAMES:
        raise UserError(f"no puzzle family {name!r}: {nearest(name, NAMES)}")
    found: Family = import_module(f"rlvr_sweep.data.puzzles.{name}").FAMILY
    return found


def rows(
    name: str, *, difficulty: int, split: str, count: int, seed: int = 0, wording: str = "full"
) -> list[dict[str, Any]]:
    """`count` distinct problems as raw rows: id, prompt, answer, family, difficulty and the family's measure of size.

    A smaller count is a prefix of a larger one. Ids are stable and unique over all families and difficulties.
    UserError: an unknown family, split or difficulty, or more problems than the split holds.
    """
    kind = find_family(name)
    if split not in ("train", "test"):
        raise UserError(f"no split {split!r} of puzzle {name!r}: write train or test")
    found: dict[str, dict[str, Any]] = {}
    index = 0
    while len(found) < count:
        if index >= TRIES * (count + 20):
            raise UserError(
                f"puzzle {name!r} of difficulty {difficulty}: {len(found)} {split} rows found, not {count}; "
                f"write a count of {len(found)} or fewer, or a higher difficulty"
            )
        row = kind.problem(index, difficulty, seed=seed, wording=wording)
        index += 1
        if kind.held_out(row) == (split == "test"):
            found.setdefault(row.id, {"id": row.id, "prompt": row.prompt, "answer": row.answer} | row.columns)
    return list(found.values())
