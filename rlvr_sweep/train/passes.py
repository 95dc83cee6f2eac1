"""Forward passes over completions without any padding: the rows of a pass lie end to end, and attention keeps to a row.

    logps, entropies = token_log_probs(model, input_ids, attention_mask, keep=512)          # (B, 512) each

TRL pads prompts on the left and completions on the right to the longest of the whole rollout, and computes all of it in
every pass: with completions of 800 tokens on average and at most 3,072 that is three quarters of the work. What comes
out is the same, and so are the gradients.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

# Rows times the longest's length squared, up to which padding is computed in order to launch less. Not tuned: 128
# rows of 64 tokens, as the lab has them, are an eighth of it.
SHORT = 1 << 22


def token_log_probs(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    keep: int,
    stack: bool | None = None,
    kept: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probs of the last `keep` columns of `input_ids` (B, W) under a model with TRL's fused head, and entropies
    where it gives them; (B, keep), 0 where `attention_mask` (B, W) is. A row's first token must not be among them.
    `stack`: attention takes all rows in one call and not each in its own; None: on a GPU, where they are short. `kept`:
    tokens up to which a model with gradient checkpointing keeps this pass's activations all the same."""
    device = input_ids.device
    real = attention_mask.bool().cpu()  # all that follows from it is worked out there: a GPU is waited for but once
    asked = real.clone()
    asked[:, :-keep] = False
    lengths = real.sum(1).tolist()

    def of(found: torch.Tensor) -> torch.Tensor:
        return found.flatten().nonzero()[:, 0].to(device)

    here, answers, into = of(real), of(asked[real]), of(asked[:, -keep:])
    ids = input_ids.flatten()[here]
    if stack is None:
        stack = device.type == "cuda" and len(lengths) * max(lengths) ** 2 <= SHORT
    if kept is not None:
        _compute_anew(model, sum(lengths) > kept)
    outputs = model(
        input_ids=ids[None],
        # Passed on as a finished one: it only keeps transformers from making one of its own over all rows.
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
        position_ids=(real.long().cumsum(1) - 1)[real][None].to(device),
        labels=torch.full_like(ids, -100).index_copy(0, answers, ids[answers])[None],
        row_lengths=lengths,
        row_places=of(torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]) if stack else None,
        fused_lm_head=True,
    )

    def padded(found: torch.Tensor) -> torch.Tensor:
        wanted = found[0].index_select(0, answers - 1)  # the head's first value is that of the second token
        return found.new_zeros(asked[:, -keep:].numel()).index_copy(0, into, wanted).view(-1, keep)

    return padded(outputs.log_probs), None if outputs.entropy is None else padded(outputs.entropy)


def _compute_anew(model: Any, on: bool) -> None:
    """Whether the layers' next pass leaves its activations to the backward one. They look at it in the forward pass."""
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.gradient_checkpointing = on


def obstacle(model: Any) -> str | None:
    """Why the rows of a pass of this model must not lie end to end; None: they may."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"layers of {', '.join(sorted(kinds))}"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return f"a sliding window of {config.sliding_window} tokens"
    if not getattr(model, "_supports_attention_backend", False):
        return "an attention of its own"
    if config._attn_implementation == "eager":  # it would need a mask over all rows, quadratic in their sum
        return "model.attention=eager"
    return None


def _by_rows(attention: Callable[..., tuple[torch.Tensor, Any]]) -> Callable[..., tuple[torch.Tensor, Any]]:
    """An attention function of transformers, (B, heads, T, d) -> (B, T, heads, d), that with `row_lengths` takes each
    of the rows which lie end to end in T by itself, or with `row_places` all of them stacked."""

    @wraps(attention)
    def by_rows(
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        row_lengths: Any = None,
        row_places: Any = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, Any]:
        if row_lengths is None:
            return attention(module, query, key, value, attention_mask, **kwargs)
        kwargs.pop("position_ids", None)  # of all rows; FlashAttention would look for rows in them
        if row_places is not None:
            stacks = (_stacked(each, row_lengths, row_places) for each in (query, key, value))
            found = attention(module, *stacks, None, **kwargs)[0].flatten(0, 1)
            return found.index_select(0, row_places)[None], None
        rows = zip(*(each.split(row_lengths, dim=2) for each in (query, key, value)), strict=True)
        return torch.cat([attention(module, *row, None, **kwargs)[0] for row in rows], dim=1), None

    return by_rows


def _stacked(states: torch.Tensor, lengths: Sequence[int], places: torch.Tensor) -> torch.Tensor:
    """(1, heads, T, d) -> (rows, heads, longest, d), each padded behind: causal attention sees nothing behind a token.
    `places`: of each of the T tokens in the rows, end to end."""
    _, heads, _, size = states.shape
    empty = states.new_zeros(len(lengths) * max(lengths), heads, size)
    return empty.index_copy(0, places, states[0].transpose(0, 1)).view(len(lengths), -1, heads, size).transpose(1, 2)


for _name in ("sdpa", "flash_attention_2"):
    AttentionInterface.register(_name, _by_rows(AttentionInterface()[_name]))
