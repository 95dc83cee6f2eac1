"""1 where the completion is one thought and one answer in tags, else 0; whether the answer is right does not matter.

    reward=think_format                                        # <think>...</think> <answer>...</answer>, and no more
    reward=all_of reward.of=[think_format,ground_truth] algo.extraction=tagged

The gate of model_task_alignment 2.4. `released`: as its code has it, where neither part may hold a new line (a regular
expression without DOTALL), so that a thought of two lines earns 0; without it, as its description reads.
"""

import re
from typing import Literal

from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict

_TURN = re.compile(r"</think>\s*<answer>")
_OPEN, _END = "<think>", "</answer>"


class Params(Strict):
    name: Literal["think_format"] = "think_format"
    released: bool = False
    opened: bool = False  # the prompt ends in <think> (template r1), so that the completion does not begin with it


def fits(text: str, *, released: bool = False, opened: bool = False) -> bool:
    """Whether a text, without blanks around it, matches ``^<think>.*?</think>\\s*<answer>.*?</answer>$``. One pass."""
    text = (_OPEN if opened else "") + text.strip()
    if not (text.startswith(_OPEN) and text.endswith(_END)):
        return False
    begin, end = len(_OPEN), len(text) - len(_END)
    first_break, last_break = text.find("\n", begin, end), text.rfind("\n", begin, end)
    for turn in _TURN.finditer(text, begin):
        if turn.end() > end:
            return False
        if not released or first_break < 0 or (turn.start() <= first_break and last_break < turn.end()):
            return True
    return False


def score(params: Params, group: Group) -> Rewards:
    """0 or 1, from the text alone."""
    return [float(fits(text, released=params.released, opened=params.opened)) for text in group.texts]
