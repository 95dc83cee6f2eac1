"""From the samples of a label job to the lines of a label file.

made = make(source(cell, store, samples=64), Choice(vote="exact", filter="incorrect"), cell, grader)
made.lines[0].as_row()     # {"id": ..., "prompt": ..., "label": "7", "gold": "8", "votes": 41, "answered": 60, ...}
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Prompt
from rlvr_sweep.evals.store import Store
from rlvr_sweep.labels.audit import Audit, Judged, audit
from rlvr_sweep.labels.votes import How, Votes, count

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Cell
    from rlvr_sweep.grading.pool import Grader, Verifier

SHUFFLE_SEED = 42  # that of the authors
OF_GOLD = ("shuffled", "gold")  # labels that no vote makes

Row = dict[str, Any]  # of evals/rows.py


@dataclass(frozen=True)
class Choice:
    """How labels are made of samples, and which are kept. `pick`: a rank ("1": the majority, "-1": the least common),
    "shuffled" (the gold answers, in another order) or "gold". `code_share` goes with the filter "code"."""

    vote: How = "equivalence"
    pick: str = "1"
    filter: Literal["all", "correct", "incorrect", "never_correct", "code"] = "all"
    code_share: float | None = None
    empty: Literal["keep", "drop"] = "drop"


@dataclass(frozen=True)
class Sampled:
    """The prompts, each one's samples (none where only gold answers are wanted), and how many rows are too long."""

    prompts: list[Prompt]
    groups: list[list[Row]]
    skipped: int


def source(cell: "Cell", store: Store | None, *, samples: int) -> Sampled:
    """What a store of a label job holds; without one, the data's rows and no samples."""
    if store is None:
        from rlvr_sweep.data.sources import load

        rows = load(cell.data, key="data").rows
        return Sampled([Prompt(row.id, row.id, row.prompt, row.answer) for row in rows], [[] for _ in rows], 0)
    found = store.rows(samples=samples, columns=["answer", "correct", "has_code"])
    groups = [found[start : start + samples] for start in range(0, len(found), samples)]
    return Sampled(store.prompts(), groups, store.skipped)


@dataclass(frozen=True)
class Line:
    """A line of a label file. `correct`: by the cell's grader, an empty label being wrong, None where it cannot be
    known; `votes` of `samples` gave it (None: it is a gold answer); of the `judged` samples so many are `right`;
    `code`: the share of samples that holds python (None without samples)."""

    id: str
    prompt: str
    label: str
    gold: str
    correct: bool | None
    votes: int | None
    answered: int
    samples: int
    right: int
    judged: int
    code: float | None

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Made:
    """The lines of the file, what was left out and why, and the audit of the lines."""

    lines: list[Line]
    counts: dict[str, int]
    audit: Audit


def make(sampled: Sampled, choice: Choice, cell: "Cell", grader: "Grader") -> Made:
    """Vote, label, filter. UserError where nothing is left, or no sample of any prompt held an answer."""
    by = grader.named(cell.data.verifier, by=cell.grading.grader)
    votes = [_votes(group, choice.vote, by) for group in _tracked(sampled.groups)]
    if not any(one.answered for one in votes) and choice.pick not in OF_GOLD:
        raise UserError(
            f"label: none of {sum(one.samples for one in votes)} samples holds an answer (algo.extraction="
            f"{cell.algo.extraction}, grading.grader={cell.grading.grader}), so there is nothing to vote on; write "
            "algo.extraction=lenient, grading.grader=authors, or another model.template"
        )
    labels = _labels(sampled.prompts, votes, choice.pick)
    full = [(prompt.gold, label) for prompt, (label, _) in zip(sampled.prompts, labels, strict=True) if label]
    verdicts = iter(by.verify(full))
    found = []
    for prompt, group, one, (label, given) in zip(sampled.prompts, sampled.groups, votes, labels, strict=True):
        known = [row["correct"] for row in group if row["correct"] is not None]
        found.append(
            Line(
                id=prompt.id,
                prompt=prompt.text,
                label=label,
                gold=prompt.gold,
                correct=next(verdicts).correct if label else False,
                votes=given,
                answered=one.answered,
                samples=one.samples,
                right=sum(known),
                judged=len(known),
                code=sum(row["has_code"] for row in group) / len(group) if group else None,
            )
        )
    return _kept(found, sampled.skipped, choice)


def _tracked(groups: list[list[Row]]) -> Iterable[list[Row]]:
    """The groups, with a bar on a terminal: a vote by equivalence over 40,000 prompts takes a while."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(groups, "voting", console=console, transient=True, disable=not console.is_terminal)


def _votes(group: Sequence[dict[str, Any]], vote: How, by: "Verifier") -> Votes:
    return count([row["answer"] for row in group], how=vote, classes=by.equivalence_classes)


def _labels(prompts: Sequence[Prompt], votes: Sequence[Votes], pick: str) -> list[tuple[str, int | None]]:
    """(label, how many samples gave it) of each prompt."""
    if pick not in OF_GOLD:
        return [one.pick(int(pick)) for one in votes]
    golds = [prompt.gold for prompt in prompts]
    if pick == "shuffled":
        random.Random(SHUFFLE_SEED).shuffle(golds)
    return [(gold, None) for gold in golds]


def _kept(found: list[Line], skipped: int, choice: Choice) -> Made:
    no_answer = [line for line in found if line.samples and not line.answered]
    lines = found if choice.empty == "keep" else [line for line in found if line.label]
    passes = {
        "all": lambda line: True,
        "correct": lambda line: line.correct is True,
        "incorrect": lambda line: line.correct is False,
        "never_correct": lambda line: line.judged > 0 and line.right == 0,
        "code": lambda line: line.code is not None and line.code <= (choice.code_share or 0.0),
    }[choice.filter]
    kept = [line for line in lines if passes(line)]
    counts = {
        "prompts that are too long": skipped,
        "prompts of which no sample holds an answer": len(no_answer),
        "left out without a label": len(found) - len(lines),
        f"left out by --filter {choice.filter}": len(lines) - len(kept),
    }
    if not kept:
        raise UserError(f"label: no prompt is left of {len(found)} by --filter {choice.filter}; write --filter all")
    judged = [Judged(line.label, line.correct, line.votes, line.samples) for line in kept]
    return Made(kept, counts, audit(judged))
