"""What a label file is worth: how many of its labels are right, how many are empty, how clear the votes were, and how
much of the signal of `majority_offline` is that of `incorrect`.

audit([Judged(label="5", correct=True, votes=60, samples=64), Judged(label="", correct=False)]).label_accuracy    # 0.5

The labels released for OLMo-2-7B are 1% right and 24% empty: majority vote and incorrect labels are the same there
(spurious_rewards, section 1.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Judged:
    """A label and what is known of it. An empty one is wrong; `correct` is None where nothing can be known. `votes` of
    `samples` completions gave it, where the file says so."""

    label: str
    correct: bool | None
    votes: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Audit:
    """Counts of labels. `unknown`: neither right nor wrong, for lack of a gold answer or a verdict.

    `label_accuracy`: right among those known, an empty label being wrong; as the authors count. `overlap`: the share of
    the prompts of a majority-vote training that a training on incorrect labels uses too, with the same labels; empty
    labels, which train nothing, are in neither. None: of nothing.
    """

    labels: int
    empty: int
    correct: int
    wrong: int
    unknown: int
    label_accuracy: float | None
    majority_ratio: float | None  # mean share of the samples that gave the label, of the labels that are not empty
    overlap: float | None


def audit(judged: Sequence[Judged]) -> Audit:
    """Count."""
    correct = sum(one.correct is True for one in judged)
    wrong = sum(one.correct is False for one in judged)
    full = [one for one in judged if one.label]
    wrong_full = sum(one.correct is False for one in full)
    known_full = correct + wrong_full
    ratios = [one.votes / one.samples for one in full if one.votes is not None and one.samples]
    return Audit(
        labels=len(judged),
        empty=len(judged) - len(full),
        correct=correct,
        wrong=wrong,
        unknown=len(judged) - correct - wrong,
        label_accuracy=correct / (correct + wrong) if correct + wrong else None,
        majority_ratio=sum(ratios) / len(ratios) if ratios else None,
        overlap=wrong_full / known_full if known_full else None,
    )


def accuracy(found: Audit) -> str:
    """ "99/100 (99.0%)"."""
    share = "" if found.label_accuracy is None else f" ({100 * found.label_accuracy:.1f}%)"
    unknown = f", {found.unknown} unknown" if found.unknown else ""
    return f"{found.correct}/{found.correct + found.wrong}{share}{unknown}"


def overlap(found: Audit) -> str:
    """The overlap, in words."""
    if found.overlap is None:
        return "no label to train on"
    return f"incorrect is {100 * found.overlap:.1f}% of the majority signal"


def clarity(ratio: float) -> str:
    """The majority ratio, in words."""
    return f"the label is the answer of {100 * ratio:.1f}% of a prompt's samples, on average"
