"""Keys and values of a generate call by Hugging Face, with room for every token from the start.

    model.generate(..., past_key_values=roomy(model, tokens=1024 + 3072))

transformers' own cache is copied whole for every token that is added. At 512 completions of a 1.5B model and 3,072
tokens that is 45 GB in the end, and each time of another size, for which an allocator hardly finds a place. And under
autocast it holds keys in float32, as rotary positions leave them, of which attention rounds all for every token; here
they are rounded once.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def roomy(model: Any, *, tokens: int) -> DynamicCache | None:
    """An empty cache for `tokens` of each row, prompt and padding included; None: the model has one of its own kind.
    Layers that keep a window or a state, and not all that was said, stay transformers' own."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    # transformers gives those of the Mamba kind theirs under another name.
    if not base._supports_default_dynamic_cache() or "mamba" in type(base).__name__.lower():
        return None
    cache = DynamicCache(config=base.config.get_text_config(decoder=True))
    cache.layers = [_Roomy(tokens) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _Roomy(DynamicLayer):
    """`keys` and `values`, (rows, heads, tokens so far, size), are views of what was allocated for all. The rows stay
    what they are: sampling never reorders them."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        had = self.get_seq_length()
        if not had:
            self.lazy_initialization(key_states, value_states)
            kind = key_states.device.type
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else key_states.dtype
            self._room = tuple(
                states.new_empty(*states.shape[:2], self.tokens, states.shape[-1], dtype=dtype)
                for states in (key_states, value_states)
            )
        now = had + key_states.shape[-2]
        if now > self.tokens:  # a single token would be broadcast into no place at all
            raise RuntimeError(f"{now} tokens in a cache for {self.tokens}")
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, had:now] = states
        self.keys, self.values = (room[:, :, :now] for room in self._room)
        return self.keys, self.values
