"""1 where at least one part is non-zero, else 0.

{"name": "any_of", "of": ["ground_truth", "format"]}
"""

from typing import Literal

from pydantic import Field

from rlvr_sweep.rewards.part import Part, columns
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["any_of"] = "any_of"
    of: list[Part] = Field(min_length=2)


def score(params: Params, group: Group) -> Rewards:
    """0 or 1; one unscorable part makes the completion unscorable, whatever the others say."""
    return [None if row is None else float(any(row)) for row in columns(params.of, group)]
