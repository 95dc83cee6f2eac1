"""From the rewards of a rollout to its advantages: one pure function an estimator, the same on one rank and on many.

    advantages(cell.estimator, rewards=r, groups=g, tokens=n)     # all (N,), the completions of all ranks; out: (N,)

TRL always subtracts the group's mean, and its groups have one size. Here a group is what shares an id: dynamic sampling
may hold one twice. An unscorable completion (its reward is NaN) is in no mean and gets 0.
"""

from collections.abc import Callable

import torch
from trl.trainer.utils import nanstd

from rlvr_sweep.config.schema import Estimator

Tensor = torch.Tensor
VARIANCE = 1e-8  # the least variance that whitening divides by (the released code's)


def centred(rewards: Tensor, groups: Tensor, *, scale: str, epsilon: float) -> Tensor:
    """(r - mean of its group) / (std + epsilon), unbiased std of the group or the batch, or 1 (scale="none").

    (N,), NaN where a reward is. Source: GRPO (arXiv 2402.03300, section 4.1); Dr. GRPO (2503.20783) without the scale.
    """
    found = torch.empty_like(rewards)
    for group in groups.unique():
        members = groups == group
        own = rewards[members]
        # Sixteen rewards of 0.3 are not their mean in float32: over a std_epsilon of 1e-9, an advantage of 0.9.
        is_alike = own[~own.isnan()].unique().numel() < 2
        found[members] = own - (own if is_alike else own.nanmean())
        if scale == "group":
            found[members] /= nanstd(own) + epsilon
    return found / (nanstd(rewards) + epsilon) if scale == "batch" else found


RAW: dict[str, Callable[[Tensor, float], Tensor]] = {  # RLVR-Decomposed (arXiv 2506.01347): no baseline, no scale
    "nsr": lambda reward, weight: reward - 1,
    "psr": lambda reward, weight: reward,
    "w_reinforce": lambda reward, weight: weight * reward + (reward - 1),
}
MASKED: dict[str, Callable[[Tensor], Tensor]] = {  # model_task_alignment 2.7: what keeps its group advantage
    "nsr_masked": lambda reward: reward < 1,
    "psr_masked": lambda reward: reward > 0,
}


def whitened(values: Tensor, weights: Tensor) -> Tensor:
    """(N,) values less their mean, over their standard deviation; each counts by its weight (its trained tokens).

    Source: spurious_rewards 4.2.2, the released code's second normalization, which also moves groups without spread.
    """
    total = weights.sum().clamp(min=1)
    mean = (weights * values).sum() / total
    variance = (weights * (values - mean) ** 2).sum() / total
    return (values - mean) * variance.clamp(min=VARIANCE).rsqrt()


def advantages(estimator: Estimator, *, rewards: Tensor, groups: Tensor, tokens: Tensor) -> Tensor:
    """Advantages (N,) of a whole rollout: float32 `rewards` (NaN: unscorable), `groups` (ids), `tokens` in the loss.

    With estimator.advantage=entropy_min, `rewards` are what `certainty` gives.
    """
    kind, known = estimator.advantage, ~rewards.isnan()
    if kind in RAW:
        found = RAW[kind](rewards, estimator.psr_weight)
    else:
        found = centred(rewards, groups, scale=estimator.scale, epsilon=estimator.std_epsilon)
    if kind in MASKED:
        found = found * MASKED[kind](rewards)
    found = torch.nan_to_num(found, nan=0.0)
    if estimator.whiten:
        found = whitened(found, tokens * known)
    return torch.where(known, found, 0.0)


def certainty(logps: Tensor, mask: Tensor) -> Tensor:
    """The mean log-prob of each completion's tokens: (B, T) and (B, T) to (B,); NaN where no token is left.

    Source: entropy minimisation as a reward (model_task_alignment 2.4), under the policy that sampled.
    """
    return (logps * mask).sum(1) / mask.sum(1)
