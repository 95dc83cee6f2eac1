"""From verdicts to rewards: what ground_truth, majority_offline and incorrect have in common.

against(group.gold, group)    # 1.0 where the answer matches, 0.0 where not, None where that cannot be known
"""

from rlvr_sweep.rewards.types import Group, Rewards


def against(reference: str, group: Group, *, answers: list[str | None] | None = None) -> Rewards:
    """Each answer of the group (or these) compared with one reference answer by the cell's grader."""
    verdicts = group.grade(gold=reference, answers=group.answers if answers is None else answers)
    return [None if verdict.correct is None else float(verdict.correct) for verdict in verdicts]


def against_label(group: Group) -> Rewards:
    """Each answer compared with the prompt's pseudo-label; without one the whole group is unscorable.

    An empty label rewards exactly the completions without an answer: in the paper's released sets up to 43 of 100
    labels are empty, and its grader holds "" equal to "". Such prompts are only here with data.empty_labels=keep.
    """
    if group.label is None:
        return [None] * len(group.completions)
    answers = group.answers if group.label_answers is None else group.label_answers
    if not group.label.strip():
        return [float(not (answer or "").strip()) for answer in answers]
    return against(group.label, group, answers=answers)
