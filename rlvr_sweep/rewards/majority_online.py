"""1 where the answer belongs to the majority of its own group, else 0 (TTRL's reward; spurious_rewards App. A.6).

The vote is over classes of equal answers, where the released code votes over exact strings ("1/2" against "0.5"), and
completions without an answer have no vote, where there they could win it.

    reward=majority_online
"""

from collections import Counter
from typing import Literal

from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["majority_online"] = "majority_online"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1. A tie goes to the class seen first; no answer earns 0, so a group without any answer earns all 0."""
    classes = group.classes([a if a and a.strip() else None for a in group.answers])  # an empty box is no answer
    votes = Counter(c for c in classes if c is not None)  # most_common() keeps the order of first sight among equals
    winner = votes.most_common(1)[0][0] if votes else None
    return [float(c is not None and c == winner) for c in classes]
