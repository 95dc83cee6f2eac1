"""The losses that TRL lacks, as inputs to the one it has, and the entropy bonus.

    inputs = with_arm("off_policy_gradient", inputs)      # before GRPOTrainer._compute_loss

TRL's token loss is -min(ratio A, bounded ratio A) with ratio = exp(log pi - old log-prob). Where nothing bounds it,
what is put in the place of the old log-prob makes it each of the unclipped losses; means, KL and statistics stay TRL's.
"""

from typing import Any

import torch

AGGREGATION = {"micro_batch": "bnpo"}  # our names of a loss's mean that are not TRL's


def with_arm(arm: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a loss as the clip arm wants them; `completion_mask` is (B, T).

    off_policy_gradient: old log-prob 0, so ratio = pi(y_t) and the loss is -pi(y_t) A (spurious_rewards 4.4.2, the
    authors' switch). off_logprob: none, which TRL takes for the policy's own, so ratio = 1 with the gradient of
    log pi(y_t): that of -A log pi(y_t), though the value logged is that of -A. Others are as they come.
    """
    if arm == "off_policy_gradient":
        return inputs | {"old_per_token_logps": torch.zeros_like(inputs["completion_mask"], dtype=torch.float32)}
    if arm == "off_logprob":
        return {key: value for key, value in inputs.items() if key != "old_per_token_logps"}
    return inputs


def entropy_term(entropies: torch.Tensor, mask: torch.Tensor, *, tokens: torch.Tensor | None, parts: int) -> Any:
    """A pass's part of the mean entropy of an update's tokens, a scalar with a gradient.

    `entropies` and `mask` are (B, T), `tokens` a rank's mean count of an update of the rollout. TRL's own bonus is a
    mean over micro-batches, so that how a cell is cut for its machine would change its result; here that is so only
    where the loss is such a mean itself (`tokens` None; `parts` passes an update, a mean over their batches each).
    """
    total = (entropies * mask).sum()
    return total / tokens.clamp(min=1) if tokens is not None else total / mask.sum().clamp(min=1) / parts
