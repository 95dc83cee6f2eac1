"""The cache of a generate call: the same tokens as by transformers' own, and nothing copied for a new one."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from transformers import (
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)

from rlvr_sweep.train.kv_cache import _Roomy, roomy
from tests.train.test_passes import FAMILIES, SIZE

NEW, WIDTH = 20, 7
HOW: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": 1, "pad_token_id": 0}
WITH_WINDOW = (MistralForCausalLM, lambda **size: MistralConfig(**size, sliding_window=5))


def prompts() -> dict[str, torch.Tensor]:
    """Three, two of them padded on the left."""
    ids = torch.randint(3, 50, (3, WIDTH), generator=torch.Generator().manual_seed(2))
    return {"input_ids": ids, "attention_mask": (torch.arange(WIDTH)[None] >= torch.tensor([[0], [2], [5]])).long()}


def qwen() -> Any:
    kind, config = FAMILIES["qwen"]
    return kind(config(**SIZE)).eval()


@pytest.mark.parametrize("family", [*FAMILIES, "window"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "autocast"])
def test_what_is_drawn_is_what_the_own_cache_draws(family: str, dtype: str) -> None:
    torch.manual_seed(0)
    kind, config = FAMILIES.get(family, WITH_WINDOW)
    model: Any = kind(config(**SIZE, attn_implementation="sdpa")).eval()
    model.to(torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    how = HOW | {"return_dict_in_generate": True, "output_logits": True}
    cache: Any = roomy(model, tokens=WIDTH + NEW)
    assert {type(layer) is _Roomy for layer in cache.layers} == {family != "window"}
    with torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "autocast" else nullcontext():
        expected = model.generate(**prompts(), **how)
        found = model.generate(**prompts(), **how, past_key_values=cache)
    assert found.sequences.tolist() == expected.sequences.tolist()
    assert all(torch.equal(a, b) for a, b in zip(found.logits, expected.logits, strict=True))
    if dtype != "float32" and family != "window":
        assert {each.dtype for layer in cache.layers for each in (layer.keys, layer.values)} == {torch.bfloat16}
    assert found.past_key_values is cache and cache.get_seq_length() == WIDTH + NEW - 1


def test_what_is_there_stays_where_it_is() -> None:
    model = qwen()
    cache: Any = roomy(model, tokens=WIDTH + 2)
    places = []
    with torch.no_grad():
        for ids in (prompts()["input_ids"], torch.tensor([[4], [5], [6]]), torch.tensor([[7], [8], [9]])):
            model(input_ids=ids, past_key_values=cache)
            places.append([each.data_ptr() for layer in cache.layers for each in (layer.keys, layer.values)])
        assert places[0] == places[1] == places[2] and len(set(places[0])) == 2 * len(cache.layers)
        with pytest.raises(RuntimeError, match=f"{WIDTH + 3} tokens in a cache for {WIDTH + 2}"):
            model(input_ids=torch.tensor([[4], [5], [6]]), past_key_values=cache)


@pytest.mark.parametrize("kind, config", [(RwkvForCausalLM, RwkvConfig), (MambaForCausalLM, MambaConfig)])
def test_a_model_with_a_state_of_its_own_kind_keeps_it(kind: Any, config: Any) -> None:
    model = kind(config(vocab_size=50, hidden_size=32, num_hidden_layers=2)).eval()
    cache = roomy(model, tokens=WIDTH + NEW)
    assert cache is None
    ids = prompts()["input_ids"]
    assert model.generate(input_ids=ids, **HOW, past_key_values=cache).shape[1] > WIDTH
