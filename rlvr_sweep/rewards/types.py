"""What a reward sees and returns. A reward is a pure function of one group: the completions sampled for one prompt.

    def score(params: Params, group: Group) -> list[float | None]

A value of None says "unscorable": train/advantages.py then leaves the completion out of every mean and gives it
advantage 0, and rollouts/part-*.parquet says why (`unscorable`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlvr_sweep.grading.verdict import Verdict
from rlvr_sweep.strict import Strict


class Grade(Protocol):
    """Compares answers with a reference: `grade(gold=..., answers=[...])`, one verdict an answer."""

    def __call__(self, *, gold: str, answers: Sequence[str | None]) -> list[Verdict]: ...


@dataclass(frozen=True)
class Completion:
    """One sampled completion."""

    text: str
    answer: str | None  # extracted by the cell's rule; None: there was none
    tokens: int
    truncated: bool  # ended by the length limit


@dataclass(frozen=True)
class Group:
    """The completions of one prompt in one rollout, in slot order, and what may be known of the prompt."""

    row_id: str  # unique in the run's data (copies of one question have distinct ids)
    gold: str
    label: str | None  # pseudo-label of the prompt, where a label file was given
    completions: tuple[Completion, ...]
    rollout: int
    seed: int
    grade: Grade
    classes: Callable[[Sequence[str | None]], list[int | None]]  # equivalence classes of answers, None: no answer
    columns: dict[str, Any] = field(default_factory=dict)  # further columns of the data row
    label_answers: list[str | None] | None = None  # the answers as the label has them read, where that is otherwise

    @property
    def texts(self) -> list[str]:
        return [c.text for c in self.completions]

    @property
    def answers(self) -> list[str | None]:
        return [c.answer for c in self.completions]


Rewards = list[float | None]


class RewardModule(Protocol):
    """A file of this room: its typed parameters and its pure function."""

    @property
    def Params(self) -> type[Strict]: ...

    def score(self, params: Any, group: Group) -> Rewards: ...
