"""1 where the completion boxes an answer, whatever it is, else 0 (spurious_rewards 2.2, "format").

`at_least_one`: the paper's wording, at least one non-empty \\boxed{}. `last_box`: the released code's box_only_format,
which looks at what follows the last "boxed" (no backslash or brace needed), so a last empty box earns 0.

    reward=format reward.variant=last_box
"""

from typing import Literal

from rlvr_sweep.rewards.text import after_last_box, has_box
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["format"] = "format"
    variant: Literal["at_least_one", "last_box"] = "at_least_one"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1, from the text alone."""
    if params.variant == "last_box":
        return [float(bool(after_last_box(text))) for text in group.texts]
    return [float(has_box(text)) for text in group.texts]
