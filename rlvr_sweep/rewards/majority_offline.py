"""1 where the answer matches a pseudo-label voted before the training, else 0 (spurious_rewards 2.2, "majority vote").

The paper's labels are the majority of 64 samples a prompt from the same model before RL. All prompts are trained on:
`data.label_filter=all`. The reward `incorrect` is the same function on the prompts whose label is wrong.

    reward=majority_offline data.labels=labels.jsonl
"""

from typing import Literal

from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.rewards.verdicts import against_label
from rlvr_sweep.strict import Strict

NEEDS_LABELS = True


class Params(Strict):
    name: Literal["majority_offline"] = "majority_offline"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1 by the cell's grader against Group.label; None where that is missing or empty."""
    return against_label(group)
