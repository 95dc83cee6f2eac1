"""Forward passes over completions without the padding, and micro-batches of like lengths.

    logps, entropies = token_log_probs(model, input_ids, attention_mask, keep=512)          # (B, 512) each
    batches = by_length(batches, per_update=4)

TRL pads prompts on the left and completions on the right to the longest of the whole rollout, and computes all of it in
every pass. Here rows start at their first token and end with the longest of their pass; nothing attends to the filling
behind a row, so that no mask is needed either and attention takes its causal kernel. The update stays the same.
"""

from collections.abc import Sequence
from typing import Any

import torch


def token_log_probs(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, keep: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probs of the last `keep` columns of `input_ids` (B, W) under a model with TRL's fused head, and entropies
    where it gives them; (B, keep), 0 where `attention_mask` (B, W) is. A row's tokens must lie together."""
    width = input_ids.shape[1]
    first, length = attention_mask.int().argmax(1, keepdim=True), attention_mask.sum(1, keepdim=True)
    place = torch.arange(int(length.max()), device=input_ids.device)
    column = (first + place).clamp(max=width - 1)  # of what stands at a row's place
    ids = input_ids.gather(1, column)
    is_asked = (place < length) & (column >= width - keep)
    outputs = model(input_ids=ids, labels=ids.masked_fill(~is_asked, -100), fused_lm_head=True)
    # The head's first value is that of the second token.
    back = torch.arange(width - keep, width, device=input_ids.device) - first - 1
    is_padding = attention_mask[:, -keep:] == 0

    def padded(found: torch.Tensor) -> torch.Tensor:
        return found.gather(1, back.clamp(0, found.shape[1] - 1)).masked_fill(is_padding, 0)

    return padded(outputs.log_probs), None if outputs.entropy is None else padded(outputs.entropy)


def by_length(batches: Sequence[dict[str, Any]], *, per_update: int) -> list[dict[str, Any]]:
    """A rollout's micro-batches, `per_update` an optimizer step, with each step's completions dealt out anew: the
    longest together and first, so that a pass has little filling, and memory that will not do is found out at once."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(batches), per_update):
        parts = batches[start : start + per_update]
        length = torch.cat([part["prompt_mask"].sum(1) + part["completion_mask"].sum(1) for part in parts])
        order = length.argsort(descending=True, stable=True)
        whole = {
            key: torch.cat([part[key] for part in parts])[order]
            for key, value in parts[0].items()
            if isinstance(value, torch.Tensor) and value.dim()
        }
        rows = len(order) // len(parts)
        found += [part | {key: whole[key][i * rows : (i + 1) * rows] for key in whole} for i, part in enumerate(parts)]
    return found
