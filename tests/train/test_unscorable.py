"""A completion without a reward says why, and costs nobody else's."""

import math
from typing import Any

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train import scoring
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion

TEXTS = [r"\boxed{8}", "The answer is 8.", r"\boxed{2^{3}}", "nothing"]


def scored(*lines: str, gold: str = "8") -> list[Scored]:
    cell = compose_or_refuse(["reward=ground_truth", *lines], multirun=False)[0].cell
    prompt = Prompt(row_id="0", text="?", gold=gold, label=None, columns={})
    with Grader(1) as grader:
        group = [completion(text, tokens=1, truncated=False, how="boxed") for text in TEXTS]
        return Scorer(cell, grader).score([prompt], [group], rollout=1)


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
    found = scored()
    assert (found[0].reward, (found[0].unscorable or "")[: len(why)]) == (None, why)
    others = [(s.reward, s.unscorable) for s in found[1:]]
    assert others == ([(None, why)] * 3 if isinstance(gives, Exception) else [(1.0, None), (0.0, None), (-2.0, None)])


@pytest.mark.parametrize("estimator", ["nsr", "psr", "w_reinforce", "nsr_masked", "psr_masked"])
def test_estimators_of_right_and_wrong_take_0_and_1_alone(estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a reward of 2, r - 1 would make the right completion what the wrong one is of."""
    monkeypatch.setattr(scoring, "reward_of", lambda params, group: [2.0, 1.0, 0.0, math.nan])
    found = scored(f"estimator={estimator}")
    assert [one.reward for one in found] == [None, 1.0, 0.0, None]
    assert found[0].unscorable == f"the reward gave neither 0 nor 1, as estimator.advantage={estimator} takes"


def test_an_answer_that_cannot_be_judged_says_why() -> None:
    found = scored(gold=r"\frac{1}{")
    assert (found[0].reward, found[0].unscorable) == (None, "gold_unparseable")
    assert (found[3].reward, found[3].unscorable) == (0, None)  # no answer is wrong, whatever the gold answer
