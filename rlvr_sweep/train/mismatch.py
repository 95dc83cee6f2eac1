"""How far the sampler's probabilities are from the trainer's: the same tokens under vLLM and under the model we train.

mismatch(accelerator, output)         # metrics of a rollout whose sampled log-probs were asked for, else {}

vLLM's kernels, its bfloat16 and its batches differ from the trainer's. TRL weighs the loss by exp(trainer - sampler)
where estimator.rollout_correction says so; this is what it does to a rollout.
"""

from typing import Any

import torch


@torch.no_grad()
def mismatch(accelerator: Any, output: dict[str, Any]) -> dict[str, float | None]:
    """Over all ranks, of TRL's output of a rollout. `sampling/kl`: of the sampler from the trainer, the mean over its
    own tokens, in nats. `sampling/logp_difference`: mean and max of a token's absolute difference. `sampling/weight`:
    of the weights in the loss, after their cut. `sampling/masked`: the share of tokens that lost their gradient."""
    weights = output.get("importance_sampling_ratio")  # (B, T), or (B, 1) of whole completions
    if weights is None:
        return {}
    mask = output["completion_mask"].bool()
    apart = (output["sampling_per_token_logps"] - output["old_per_token_logps"]).double()
    known = mask & ~apart.isnan()
    weights = weights.expand_as(mask).double()
    apart, kept = apart[known], weights[mask]
    least = torch.tensor(torch.inf, device=mask.device, dtype=torch.float64)
    sums = torch.stack(
        [
            apart.sum(),
            apart.abs().sum(),
            known.sum().double(),
            kept.sum(),
            (kept == 0).sum().double(),
            mask.sum().double(),
        ]
    )
    ends = [apart.abs().max() if len(apart) else -least]
    ends += [kept.max(), -kept.min()] if len(kept) else [-least, -least]
    kl, difference, tokens, weight, masked, all_tokens = accelerator.reduce(sums, "sum").tolist()
    gathered: Any = accelerator.gather(torch.stack(ends)[None])
    widest, greatest, smallest = gathered.max(0).values.tolist()
    return {
        "sampling/kl": kl / tokens if tokens else None,
        "sampling/logp_difference": difference / tokens if tokens else None,
        "sampling/logp_difference/max": widest if tokens else None,
        "sampling/weight": weight / all_tokens if all_tokens else None,
        "sampling/weight/min": -smallest if all_tokens else None,
        "sampling/weight/max": greatest if all_tokens else None,
        "sampling/masked": masked / all_tokens if all_tokens else None,
    }
