"""1 with probability gamma, whatever the completion says (spurious_rewards 2.2, "random").

The draw is a hash of (seed, row, rollout, slot), not a stream: the same after a kill and resume and on any number of
ranks, and the logged reward is the one trained on. It takes the row's id, not the question's: the 64 copies of a
question in a one-shot run must not all draw alike.

    reward=random reward.gamma=0.5
"""

from typing import Literal

from pydantic import Field

from rlvr_sweep.draws import uniform
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["random"] = "random"
    gamma: float = Field(0.5, ge=0, le=1)
    stream: int = Field(0, ge=0)  # two random parts of one composition draw alike unless their streams differ


def score(params: Params, group: Group) -> Rewards:
    """0 or 1, independent of text and answer."""
    purpose = "reward" if params.stream == 0 else f"reward/{params.stream}"
    return [
        float(uniform(group.seed, purpose, group.row_id, group.rollout, slot) < params.gamma)
        for slot in range(len(group.completions))
    ]
