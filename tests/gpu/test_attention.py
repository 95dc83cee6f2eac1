"""Without cuDNN's attention, which train/model.py turns off, gradients are as near those of float32 as with it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from rlvr_sweep.train.passes import token_log_probs
from tests.gpu.test_liger import SIZE
from tests.train.test_passes import FAMILIES, batch, gradients, joined

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() == 0, reason="torch sees no GPU"),
]


@pytest.fixture
def switch() -> Iterator[Any]:
    before = torch.backends.cuda.cudnn_sdp_enabled()
    yield torch.backends.cuda.enable_cudnn_sdp
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_in_bfloat16_is_as_near_that_of_float32(family: str, switch: Any) -> None:
    kind, config = FAMILIES[family]
    part = {key: value.cuda() for key, value in batch().items()}
    ids, mask = joined(part)
    torch.manual_seed(0)
    model: Any = kind(config(**SIZE, attn_implementation="sdpa")).cuda()
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))

    def gradient(*, half: bool, cudnn: bool) -> torch.Tensor:
        switch(cudnn)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
            logps, entropies = token_log_probs(model, ids, mask, keep=part["completion_ids"].shape[1], stack=False)
        assert entropies is not None
        return torch.cat([each.flatten().float() for each in gradients(model, logps, entropies, part)])

    exact = gradient(half=False, cudnn=False)
    with_it, without = ((gradient(half=True, cudnn=on) - exact).norm() / exact.norm() for on in (True, False))
    assert 0 < without < 1.2 * with_it
