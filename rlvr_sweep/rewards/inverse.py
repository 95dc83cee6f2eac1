"""1 minus another reward (the paper's compounds "w/o Python" use it, spurious_rewards 4.3, App. D).

{"name": "inverse", "of": "python"}
"""

from typing import Literal

from rlvr_sweep.rewards.part import Part, columns
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["inverse"] = "inverse"
    of: Part


def score(params: Params, group: Group) -> Rewards:
    """1 - x; an unscorable completion stays unscorable."""
    return [None if row is None else 1.0 - row[0] for row in columns([params.of], group)]
