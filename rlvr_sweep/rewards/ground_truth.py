"""1 where the answer is verifiably correct, else 0 (spurious_rewards 2.2).

reward=ground_truth
"""

from typing import Literal

from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.rewards.verdicts import against
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["ground_truth"] = "ground_truth"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1 by the cell's grader; None where it could not decide (a time-out, a gold answer it cannot read)."""
    return against(group.gold, group)
