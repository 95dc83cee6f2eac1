"""The cache of a generate call: the same tokens as by transformers' own, and nothing copied for a new one."""

from typing import Any

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, RwkvConfig, RwkvForCausalLM

from rlvr_sweep.train.kv_cache import roomy
from tests.train.test_passes import FAMILIES, SIZE

NEW, WIDTH = 20, 7
WITH_WINDOW = (MistralForCausalLM, lambda **size: MistralConfig(**size, sliding_window=5))


def prompts() -> dict[str, torch.Tensor]:
    """Three, two of them padded on the left."""
    ids = torch.randint(3, 50, (3, WIDTH), generator=torch.Generator().manual_seed(2))
    return {"input_ids": ids, "attention_mask": (torch.arange(WIDTH)[None] >= torch.tensor([[0], [2], [5]])).long()}


@pytest.mark.parametrize("family", [*FAMILIES, "window"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_drawn_is_what_the_own_cache_draws(family: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    kind, config = FAMILIES.get(family, WITH_WINDOW)
    model: Any = kind(config(**SIZE, attn_implementation="sdpa")).to(dtype).eval()
    how = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": 1, "pad_token_id": 0}
    how |= {"return_dict_in_generate": True, "output_logits": True}
    expected = model.generate(**prompts(), **how)
    found = model.generate(**prompts(), **how, past_key_values=roomy(model, tokens=WIDTH + NEW))
    assert found.sequences.tolist() == expected.sequences.tolist()
    assert all(torch.equal(a, b) for a, b in zip(found.logits, expected.logits, strict=True))
    for ours, theirs in zip(found.past_key_values.layers, expected.past_key_values.layers, strict=True):
        assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)


def test_what_is_there_stays_where_it_is() -> None:
    kind, config = FAMILIES["qwen"]
    model: Any = kind(config(**SIZE)).eval()
    cache: Any = roomy(model, tokens=WIDTH + 2)
    places = []
    with torch.no_grad():
        for ids in (prompts()["input_ids"], torch.tensor([[4], [5], [6]]), torch.tensor([[7], [8], [9]])):
            model(input_ids=ids, past_key_values=cache)
            places.append([each.data_ptr() for layer in cache.layers for each in (layer.keys, layer.values)])
    assert cache.get_seq_length() == WIDTH + 2
    assert places[0] == places[1] == places[2] and len(set(places[0])) == 2 * len(cache.layers)


def test_a_model_with_a_state_of_its_own_kind_keeps_it() -> None:
    model: Any = RwkvForCausalLM(RwkvConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2))
    assert roomy(model, tokens=8) is None
