"""The second normalization of the released code: over all tokens of the rollout, whoever holds them."""

import math

import pytest
import torch

from rlvr_sweep.config.schema import Estimator
from rlvr_sweep.train.advantages import advantages, whitened


def estimator(**choices: object) -> Estimator:
    return Estimator.model_validate({"name": "x", "whiten": True, "std_epsilon": 1e-9, **choices})


def rollout(rewards: list[list[float]], tokens: list[int] | None = None, **choices: object) -> torch.Tensor:
    """Advantages of groups of rewards, in one row; as many tokens in each completion unless told."""
    flat = torch.tensor(rewards).flatten()
    groups = torch.arange(len(rewards)).repeat_interleave(len(rewards[0])).float()
    count = torch.tensor(tokens) if tokens else torch.ones(flat.numel())
    return advantages(estimator(**choices), rewards=flat, groups=groups, tokens=count.float())


def test_it_has_mean_0_and_variance_1_over_tokens_not_over_completions() -> None:
    tokens = torch.tensor([1.0, 9.0, 2.0, 30.0, 4.0, 4.0, 100.0, 7.0])
    values = torch.tensor([1.0, -1.0, 0.5, 2.0, 0.0, 0.0, -3.0, 1.0])
    found = whitened(values, tokens)
    every_token = torch.cat([v.repeat(int(n)) for v, n in zip(found, tokens, strict=True)])
    assert every_token.mean().item() == pytest.approx(0, abs=1e-6)
    assert every_token.var(unbiased=False).item() == pytest.approx(1, abs=1e-6)
    assert found.mean().item() != pytest.approx(0, abs=1e-2)


def test_one_rewarded_completion_of_1024_is_blown_up_as_the_paper_s_code_does() -> None:
    rewards = [[0.0] * 16 for _ in range(64)]
    rewards[5][3] = 1.0
    plain, white = rollout(rewards, whiten=False), rollout(rewards)
    assert plain.max().item() == pytest.approx(3.75)
    assert plain.min().item() == pytest.approx(-0.25)
    assert white.max().item() == pytest.approx(3.75 / math.sqrt(15 / 1024), rel=1e-5)  # 8.3 times as large


def test_groups_without_spread_are_moved_too() -> None:
    found = rollout([[1.0, 1.0], [0.0, 1.0]], tokens=[5, 5, 1, 9])
    assert rollout([[1.0, 1.0], [0.0, 1.0]], tokens=[5, 5, 1, 9], whiten=False)[:2].tolist() == [0.0, 0.0]
    assert found[0].item() == found[1].item() == pytest.approx(-0.2828427 / math.sqrt(0.25 - 0.08), rel=1e-5)


def test_no_reward_at_all_stays_no_gradient_at_all() -> None:
    assert rollout([[0.0] * 4] * 4).tolist() == [0.0] * 16


def test_the_variance_is_bounded_below() -> None:
    found = whitened(torch.tensor([1e-6, -1e-6]), torch.ones(2))
    assert found.tolist() == pytest.approx([1e-2, -1e-2])  # over sqrt(1e-8), not over 1e-6


def test_what_cannot_be_scored_counts_for_nothing() -> None:
    found = rollout([[0.0, 1.0, math.nan, 1.0], [0.0, 1.0, 0.0, math.nan]])
    known = torch.tensor([True, True, False, True, True, True, True, False])
    assert found[~known].tolist() == [0.0, 0.0]
    assert found[known].mean().item() == pytest.approx(0, abs=1e-6)
    assert rollout([[math.nan] * 2] * 2).tolist() == [0.0] * 4


@pytest.mark.parametrize("size", [5, 8, 16])
@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3])
def test_rewards_that_are_all_alike_have_no_advantage_whatever_number_they_are(reward: float, size: int) -> None:
    """Not what the rounding of their mean leaves, over a std_epsilon of 1e-9."""
    assert rollout([[reward] * size] * 4, whiten=False).tolist() == [0.0] * 4 * size


def test_a_group_with_one_known_reward_has_no_advantage() -> None:
    assert rollout([[1.0, math.nan, math.nan, math.nan]], whiten=False).tolist() == [0.0] * 4
