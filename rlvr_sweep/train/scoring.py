"""From a rollout's texts to answers, verdicts and rewards.

    scored = Scorer(cell, grader).score(prompts, completions, rollout=3)     # one Scored a completion, in order

The oracle (agreement with the gold answer) is computed whatever the reward is, and never passed on unless it asks.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlvr_sweep.config.rules import MASKED, RAW
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.grading import authors, rules
from rlvr_sweep.grading.extraction import How
from rlvr_sweep.grading.pool import Grader, Verifier
from rlvr_sweep.grading.verdict import Verdict
from rlvr_sweep.rewards import needs_votes, plugin
from rlvr_sweep.rewards import score as reward_of
from rlvr_sweep.rewards.types import Completion, Group, Rewards

log = logging.getLogger(__name__)
LARGEST = 1e18  # of a reward: the square of a larger one is no float32, and advantages are made of squares


@dataclass(frozen=True)
class Prompt:
    """What is known of one prompt of a rollout."""

    row_id: str
    text: str
    gold: str
    label: str | None
    columns: dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """One completion and all that was found out about it."""

    prompt: Prompt
    slot: int
    completion: Completion
    verdict: Verdict  # against the gold answer, by the cell's grader
    reward: float | None
    majority: bool | None  # its group's majority answer is right; None: no vote or not knowable
    majority_ratio: float | None  # share of the group that gave the majority answer
    label_correct: bool | None
    correct_math_verify: bool | None = None  # the verdict of each math grader on the answer it sees; else null
    correct_authors: bool | None = None
    unscorable: str | None = None  # why there is no reward


class Scorer:
    """Scores whole groups. One grader serves oracle, labels and votes."""

    def __init__(self, cell: Cell, grader: Grader) -> None:
        self.cell = cell
        is_math = cell.data.verifier == rules.MATH  # two graders look at each answer; other tasks have one verifier
        self.graders = [grader.named(rules.MATH, by=by) for by in ("math_verify", "authors")] if is_math else []
        self.by_authors = is_math and cell.grading.grader == "authors"
        self.grader = grader.named(cell.data.verifier, by=cell.grading.grader)
        self.votes = needs_votes(cell.reward)
        self.wants_binary = cell.estimator.advantage in (*RAW, *MASKED)
        self._labels: dict[tuple[str, str], bool | None] = {}
        self._told: set[str] = set()  # faults of rewards that the log holds

    def score(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[Completion]], *, rollout: int
    ) -> list[Scored]:
        """`completions[i]` is the group of `prompts[i]`; the result is flat, group after group, in slot order."""
        sides: list[list[bool | None]] = []
        if self.graders:
            claimed = [
                [replace(c, answer=answer) for c, answer in zip(group, self._claims(group, prompt.gold), strict=True)]
                for prompt, group in zip(prompts, completions, strict=True)
            ]
            sides = [self._oracle(prompts, c, g) for c, g in zip((completions, claimed), self.graders, strict=True)]
            if self.by_authors:
                completions = claimed
        pairs = [
            (gold, c.answer)
            for prompt, group in zip(prompts, completions, strict=True)
            for gold in {prompt.gold, prompt.label or prompt.gold}
            for c in group
        ]
        verdicts = dict(zip(pairs, self.grader.verify(pairs), strict=True))  # one call keeps every worker busy
        scored: list[Scored] = []
        for prompt, members in zip(prompts, completions, strict=True):
            scored += self._group(prompt, tuple(members), rollout, verdicts)
        if not sides:
            return scored
        return [
            replace(one, correct_math_verify=math_verify, correct_authors=by_authors)
            for one, math_verify, by_authors in zip(scored, *sides, strict=True)
        ]

    def _claims(self, members: Sequence[Completion], reference: str) -> list[str | None]:
        """What the authors' grader takes for the answers where they are compared with `reference`."""
        tagged = self.cell.algo.extraction == "tagged"
        return [authors.claim(one.text, gold=reference, tagged=tagged) for one in members]

    def _label_answers(self, prompt: Prompt, members: Sequence[Completion]) -> list[str | None] | None:
        """The authors' code knows no gold answer where it rewards a label: it is the label that then makes a task one
        of multiple choice, or none. None where both say the same."""
        label = prompt.label
        if not self.by_authors or label is None or authors.is_choice(label) == authors.is_choice(prompt.gold):
            return None
        return self._claims(members, label)

    @staticmethod
    def _oracle(
        prompts: Sequence[Prompt], completions: Sequence[Sequence[Completion]], grader: Verifier
    ) -> list[bool | None]:
        """One grader's verdicts against the gold answers, flat."""
        groups = zip(prompts, completions, strict=True)
        return [v.correct for v in grader.verify([(prompt.gold, c.answer) for prompt, group in groups for c in group])]

    def _group(self, prompt: Prompt, members: tuple[Completion, ...], rollout: int, verdicts: dict) -> list[Scored]:
        def grade(*, gold: str, answers: Sequence[str | None]) -> list[Verdict]:
            known = [verdicts.get((gold, answer)) for answer in answers]
            if None not in known:
                return [v for v in known if v is not None]
            return self.grader.verify([(gold, answer) for answer in answers])

        classes = _remember(self.grader.equivalence_classes)
        group = Group(
            row_id=prompt.row_id,
            gold=prompt.gold,
            label=prompt.label,
            completions=members,
            rollout=rollout,
            seed=self.cell.seed,
            grade=grade,
            classes=classes,
            columns=prompt.columns,
            label_answers=self._label_answers(prompt, members),
        )
        oracle = grade(gold=prompt.gold, answers=group.answers)
        majority, ratio = _majority(classes(group.answers), oracle) if self.votes else (None, None)
        rewards, unscorable = self._rewards(group, oracle)
        return [
            Scored(
                prompt=prompt,
                slot=slot,
                completion=members[slot],
                verdict=oracle[slot],
                reward=rewards[slot],
                majority=majority,
                majority_ratio=ratio,
                label_correct=self._label_correct(prompt),
                unscorable=unscorable[slot],
            )
            for slot in range(len(members))
        ]

    def _rewards(self, group: Group, oracle: Sequence[Verdict]) -> tuple[Rewards, list[str | None]]:
        """The rewards, and why those that are None are so: where a reward is no number to train on, and for a whole
        group where it raises, since on one rank of several an exception would leave the others waiting."""
        size, before = len(group.completions), plugin.failures.copy()
        try:
            found = reward_of(self.cell.reward, group)
        except Exception as error:  # whatever a reward raises
            raised = self._say(f"the reward raised {type(error).__name__}: {error}".splitlines()[0])
            return [None] * size, [raised] * size
        told = "; ".join(reason for reason, count in plugin.failures.items() if count > before[reason])
        rewards: Rewards = []
        reasons: list[str | None] = []
        for reward, verdict in zip(found, oracle, strict=True):
            if reward is None:
                reasons.append(told or (verdict.reason if verdict.correct is None else "the reward gave none"))
            elif self.wants_binary and reward not in (0, 1):  # NaN is neither
                advantage = self.cell.estimator.advantage
                reasons.append(self._say(f"the reward gave neither 0 nor 1, as estimator.advantage={advantage} takes"))
            elif abs(reward) <= LARGEST:
                reasons.append(None)
            else:
                reasons.append(self._say(f"the reward gave NaN, infinity or a number beyond {LARGEST:g}"))
            rewards.append(None if reasons[-1] else reward)
        return rewards, reasons

    def _say(self, what: str) -> str:
        """`what`, which the log now holds."""
        if what not in self._told:
            log.warning("%s; such completions are unscorable (told once)", what)
        self._told.add(what)
        return what

    def _label_correct(self, prompt: Prompt) -> bool | None:
        if not prompt.label:
            return None if prompt.label is None else False  # an empty one is wrong
        key = (prompt.gold, prompt.label)
        if key not in self._labels:
            self._labels[key] = self.grader.verify([key])[0].correct
        return self._labels[key]


def _remember(classes: Callable[[Sequence[str | None]], list[int | None]]) -> Callable:
    """The equivalence classes of a group's answers cost many comparisons: once a group, whoever asks."""
    known: dict[tuple[str | None, ...], list[int | None]] = {}

    def remembered(answers: Sequence[str | None]) -> list[int | None]:
        key = tuple(answers)
        if key not in known:
            known[key] = classes(answers)
        return known[key]

    return remembered


def _majority(classes: list[int | None], oracle: list[Verdict]) -> tuple[bool | None, float | None]:
    """Is the group's majority answer right, and which share of the group gave it?"""
    votes = Counter(c for c in classes if c is not None)
    if not votes:
        return None, None
    winner, count = votes.most_common(1)[0]
    return oracle[classes.index(winner)].correct, count / len(classes)


def completion(text: str, *, tokens: int, truncated: bool, how: How, verifier: str = rules.MATH) -> Completion:
    """A completion with its answer extracted by the cell's rule, as the verifier of its data reads it."""
    answer = rules.extract(text, verifier=verifier, how=how)
    return Completion(text=text, answer=answer, tokens=tokens, truncated=truncated)
