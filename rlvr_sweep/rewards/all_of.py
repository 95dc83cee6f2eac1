"""1 where every part is non-zero, else 0 (the released code's X_AND_Y; spurious_rewards 4.3, App. D).

{"name": "all_of", "of": ["ground_truth", {"name": "inverse", "of": "python"}]}
"""

from typing import Literal

from pydantic import Field

from rlvr_sweep.rewards.part import Part, columns
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["all_of"] = "all_of"
    of: list[Part] = Field(min_length=2)


def score(params: Params, group: Group) -> Rewards:
    """0 or 1; one unscorable part makes the completion unscorable, whatever the others say."""
    return [None if row is None else float(all(row)) for row in columns(params.of, group)]
