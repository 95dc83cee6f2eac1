"""Where a reward would not be what it is called, beside the data and the prompts of its cell; rules.py asks.

reward_faults(cell)     # ["data.label_filter: ... write data.label_filter=incorrect, ...", ...]
"""

from rlvr_sweep.config.label_command import command as label_command
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.data.provenance import default_path
from rlvr_sweep.data.templates import opens_thought
from rlvr_sweep.rewards import has_part, needs_labels


def reward_faults(cell: Cell) -> list[str]:
    """All of them, one line each."""
    return _label_faults(cell) + _format_faults(cell)


def _format_faults(cell: Cell) -> list[str]:
    """A tag that the prompt opens is no part of the completion."""
    template = cell.model.template
    opened = opens_thought(template)
    if not has_part(cell.reward, "think_format", opened=not opened):
        return []
    if opened:
        why = f"model.template={template} opens <think> in the prompt, so that no completion could begin with it"
    else:
        why = f"model.template={template} does not open <think> in the prompt, so that any thought would do without it"
    value = str(opened).lower()
    return [f"reward: {why}; write reward.opened={value}, or in reward.of {{name: think_format, opened: {value}}}"]


def _label_faults(cell: Cell) -> list[str]:
    """The two rewards of labels are one function; which prompts are trained on makes the one or the other."""
    data = cell.data
    if needs_labels(cell.reward) and data.labels is None:
        return [
            f"data.labels: reward={cell.choices.get('reward', 'this')} needs a label file; write "
            f"data.labels={default_path(cell)}, made by: {label_command(cell)}"
        ]
    if data.labels is None:
        needed = "needs a label file; write data.labels=FILE.jsonl"
        found = [f"data.label_filter: {needed}"] * (data.label_filter == "incorrect")
        return found + [f"data.empty_labels: {needed}, or data.empty_labels=drop"] * (data.empty_labels == "keep")
    if has_part(cell.reward, "incorrect") and data.label_filter != "incorrect":
        return [
            "data.label_filter: all prompts with a label would be trained on, and a reward is incorrect only on those "
            "whose label is wrong; write data.label_filter=incorrect, or majority_offline in the place of incorrect"
        ]
    if has_part(cell.reward, "majority_offline") and data.label_filter == "incorrect":
        return [
            "data.label_filter: trained on the prompts whose label is wrong, majority_offline is the reward incorrect; "
            "write data.label_filter=all, or incorrect in the place of majority_offline"
        ]
    return []
