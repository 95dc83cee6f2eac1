"""Which grader rewards go by, and that both are recorded."""

import math
from typing import Any

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train import scoring
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion


def scored(texts: list[str], *lines: str, gold: str = "8", label: str | None = None) -> list[Scored]:
    cell = compose_or_refuse(list(lines), multirun=False)[0].cell
    prompt = Prompt(row_id="0", text="?", gold=gold, label=label, columns={})
    with Grader(1) as grader:
        group = [completion(text, tokens=1, truncated=False, how="boxed") for text in texts]
        return Scorer(cell, grader).score([prompt], [group], rollout=1)


TEXTS = [r"\boxed{8}", "The answer is 8.", r"\boxed{2^{3}}", "nothing"]


@pytest.mark.parametrize(
    ("grader", "rewards", "answers"),
    [("math_verify", [1, 0, 1, 0], ["8", None, "2^{3}", None]), ("authors", [1, 1, 0, 0], ["8", "8", "2^{3}", ""])],
)
def test_rewards_go_by_the_chosen_grader(grader: str, rewards: list[float], answers: list[str | None]) -> None:
    found = scored(TEXTS, "reward=ground_truth", f"grading.grader={grader}")
    assert [s.reward for s in found] == rewards
    assert [s.verdict.correct for s in found] == [bool(reward) for reward in rewards]
    assert [s.completion.answer for s in found] == answers
    assert [s.correct_math_verify for s in found] == [True, False, True, False]
    assert [s.correct_authors for s in found] == [True, True, False, False]


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        (math.nan, "the reward gave NaN"),
        (-math.inf, "the reward gave NaN"),
        (1e30, "the reward gave NaN, infinity or a number beyond 1e+18"),
        (None, "the reward gave none"),
        (KeyError("gone"), "the reward raised KeyError: 'gone'"),
    ],
)
def test_a_reward_that_fails_says_why(gives: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reward(params: Any, group: Any) -> list:
        if isinstance(gives, Exception):
            raise gives
        return [gives, 1.0, 0.0, -2.0]

    monkeypatch.setattr(scoring, "reward_of", reward)
    found = scored(TEXTS, "reward=ground_truth")
    assert (found[0].reward, (found[0].unscorable or "")[: len(why)]) == (None, why)
    others = [(s.reward, s.unscorable) for s in found[1:]]
    assert others == ([(None, why)] * 3 if isinstance(gives, Exception) else [(1.0, None), (0.0, None), (-2.0, None)])


def test_an_answer_that_cannot_be_judged_says_why() -> None:
    [found] = scored([r"\boxed{7}"], "reward=ground_truth", gold=r"\frac{1}{")
    assert (found.reward, found.unscorable, found.verdict.reason) == (None, "gold_unparseable", "gold_unparseable")


def test_votes_go_by_the_chosen_grader() -> None:
    found = scored(["The answer is 3.", "It is 3", r"\boxed{8}"], "reward=majority_online", "grading.grader=authors")
    assert [s.reward for s in found] == [1, 1, 0] and found[0].majority is False
