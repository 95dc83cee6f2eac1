"""Liger's layer kernels give the gradient of transformers' own layers, in float32 up to rounding."""

from typing import Any

import pytest
import torch
from transformers.integrations.liger import apply_liger_kernel
from trl.trainer.utils import add_fused_lm_head

from rlvr_sweep.train.passes import token_log_probs
from tests.train.test_passes import COMPLETIONS, FAMILIES, batch, gradients, joined

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() == 0, reason="torch sees no GPU"),
]
SIZE: dict[str, Any] = {"vocab_size": 50, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
SIZE |= {"num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_the_layers_they_replace(family: str) -> None:
    kind, config = FAMILIES[family]
    part = {key: value.cuda() for key, value in batch().items()}
    ids, mask = joined(part)
    made = []
    for with_liger in (False, True):
        torch.manual_seed(0)
        found: Any = kind(config(**SIZE, attn_implementation="sdpa")).cuda()
        add_fused_lm_head(found, temperature=0.7, outputs=("log_probs", "entropy"))
        if with_liger:
            apply_liger_kernel(found, {"fused_linear_cross_entropy": False, "cross_entropy": False})
            assert any("Liger" in type(m).__name__ or "Liger" in str(m.forward) for m in found.modules())
        logps, entropies = token_log_probs(found, ids, mask, keep=part["completion_ids"].shape[1])
        assert entropies is not None and int((logps != 0).sum()) == sum(COMPLETIONS)
        made.append(gradients(found, logps, entropies, part))
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
