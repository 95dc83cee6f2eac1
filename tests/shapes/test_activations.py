"""What the estimate says a layer keeps for the backward pass is what autograd keeps."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from rlvr_sweep.shapes.sizes import KNOWN, Sizes
from rlvr_sweep.train.passes import token_log_probs

ROWS, TOKENS = 2, 120
SIZE = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZE |= {"head_dim": 64, "vocab_size": 64, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def kept(kind: str, layers: int, weights: torch.dtype, computed: torch.dtype, *, lora: bool) -> tuple[int, Sizes]:
    """(bytes that autograd keeps of a pass, weights and their copies left out; the model's lengths)"""
    config = AutoConfig.for_model(kind, num_hidden_layers=layers, **SIZE)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=weights, attn_implementation="sdpa")
    add_fused_lm_head(model, temperature=1.0, outputs=("log_probs", "entropy"))
    if lora:  # adapters in float32, as peft makes them, under autocast
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    shapes = {each.shape for each in model.parameters()}
    ids, seen = torch.randint(8, 60, (ROWS, TOKENS)), {}

    def pack(found: torch.Tensor) -> torch.Tensor:
        if found.shape not in shapes and found.shape[::-1] not in shapes:
            seen[found.untyped_storage().data_ptr()] = found.untyped_storage()
        return found

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda found: found),
        torch.autocast("cpu", computed, enabled=lora or weights != computed),
    ):
        token_log_probs(model.train(), ids, torch.ones_like(ids), keep=TOKENS - 8)
    return sum(each.nbytes() for each in seen.values()), Sizes.of(config.to_dict())


WHOLE = [("float32", "bfloat16", False), ("bfloat16", "bfloat16", False), ("float32", "float32", False)]


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize(("weights", "computed", "lora"), [*WHOLE, ("bfloat16", "bfloat16", True)])
def test_a_layer_keeps_what_is_estimated(kind: str, weights: str, computed: str, lora: bool) -> None:
    dtypes = getattr(torch, weights), getattr(torch, computed)
    (less, sizes), (more, _) = (kept(kind, layers, *dtypes, lora=lora) for layers in (1, 3))
    found = (more - less) / 2 / (ROWS * TOKENS)
    estimated = sizes.kept_bytes_per_token(dtypes[1].itemsize, dtypes[0].itemsize, lora=lora)
    assert found == pytest.approx(estimated, rel=0.06)
