"""Groups made of bare texts, with a grader that compares strings: what a reward does beyond it is then plain to see."""

from collections.abc import Callable, Sequence

import pytest

from rlvr_sweep.grading.verdict import Verdict
from rlvr_sweep.rewards.types import Completion, Group


def grade(*, gold: str, answers: Sequence[str | None]) -> list[Verdict]:
    """Equality of strings; like the papers' grader it holds "" equal to ""; "slow" cannot be decided."""
    return [
        Verdict(None, "timeout") if answer == "slow" else Verdict((answer or "") == gold, "equal") for answer in answers
    ]


def classes(answers: Sequence[str | None]) -> list[int | None]:
    """0.5 and 1/2 are equal."""
    names = {"0.5": "1/2"}
    seen: dict[str, int] = {}
    return [None if a is None else seen.setdefault(names.get(a, a), len(seen)) for a in answers]


@pytest.fixture
def group() -> Callable[..., Group]:
    def make(
        *, texts: Sequence[str] | None = None, answers: Sequence[str | None] | None = None, gold: str = "5", **changes
    ) -> Group:
        texts = [f"so {a}" for a in answers or []] if texts is None else texts
        answers = [None] * len(texts) if answers is None else answers
        members = [Completion(t, a, tokens=len(t), truncated=False) for t, a in zip(texts, answers, strict=True)]
        facts = {"row_id": "q1", "label": None, "rollout": 1, "seed": 0} | changes
        return Group(gold=gold, completions=tuple(members), grade=grade, classes=classes, **facts)

    return make
