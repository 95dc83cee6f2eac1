"""1 where the completion speaks of Python, else 0 (spurious_rewards 4.3, "Python reward").

`plain`: "python" in any case, the paper's reward and its code-frequency metric (the released code's
contain_python_wo_backticks). `fenced`: "```python" in any case (its contain_python).

    reward=python reward.variant=fenced
"""

from typing import Literal

from rlvr_sweep.rewards.text import has_code, has_fenced_code
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


class Params(Strict):
    name: Literal["python"] = "python"
    variant: Literal["plain", "fenced"] = "plain"


def score(params: Params, group: Group) -> Rewards:
    """0 or 1, from the text alone."""
    fact = {"plain": has_code, "fenced": has_fenced_code}[params.variant]
    return [float(fact(text)) for text in group.texts]
