"""0 where the completion repeats itself without end, else 1 (spurious_rewards App. E).

`paper`: any string repeated more than 10 times in a row. `code`: a string of 10 to 256 characters repeated at least
10 times in a row (the released repetition_detection). The paper's wording is read as "in a row": else any long text
fails by its "e"s. It fails on a ruler of 11 dashes or an indent of 11 blanks too, which the code's does not.

    reward=no_repetition reward.variant=code
"""

from typing import Literal

from rlvr_sweep.rewards.text import repeats
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["no_repetition"] = "no_repetition"
    variant: Literal["paper", "code"] = "paper"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1, from the text alone."""
    if params.variant == "code":
        return [float(not repeats(text, times=10, shortest=10, longest=256)) for text in group.texts]
    return [float(not repeats(text)) for text in group.texts]
