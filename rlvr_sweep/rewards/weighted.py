"""A weighted sum of rewards; the weights are used as written, not normalised.

{"name": "weighted", "of": [{"reward": "ground_truth", "weight": 1.0}, {"reward": "format", "weight": 0.1}]}
"""

from typing import Literal

from pydantic import Field

from rlvr_sweep.rewards.part import Part, columns
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Term(Strict):
    """One summand."""

    reward: Part
    weight: float


class Params(Strict):
    name: Literal["weighted"] = "weighted"
    of: list[Term] = Field(min_length=1)


def score(params: Params, group: Group) -> Rewards:
    """sum of weight * x; one unscorable part makes the completion unscorable."""
    weights = [term.weight for term in params.of]
    rows = columns([term.reward for term in params.of], group)
    return [None if row is None else sum(w * x for w, x in zip(weights, row, strict=True)) for row in rows]
