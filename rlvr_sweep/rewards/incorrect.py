"""1 where the answer matches a pseudo-label that is known to be wrong, else 0 (spurious_rewards 2.2, "incorrect").

The function is that of `majority_offline`; the difference is the data: only the prompts whose label is wrong are
trained on, which is `data.label_filter=incorrect` (conf/reward/incorrect.yaml goes with it).

    reward=incorrect data.labels=labels.jsonl data.label_filter=incorrect
"""

from typing import Literal

from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.rewards.verdicts import against_label
from rlvr_sweep.strict import Strict

NEEDS_LABELS = True


class Params(Strict):
    name: Literal["incorrect"] = "incorrect"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1 by the cell's grader against Group.label; None where that is missing or empty."""
    return against_label(group)
