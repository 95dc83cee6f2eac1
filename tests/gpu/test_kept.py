"""Cells on a GPU that keep the activations of some passes and compute those of the others anew."""

from collections.abc import Callable
from itertools import cycle

import pytest
import torch

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.train import passes
from tests.train.test_kept import trained

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() == 0, reason="torch sees no GPU"),
]
FULL = ["model=shape/tiny", "compute=gpu", "reward=random"]  # bfloat16, Liger's layers, as at full size


@pytest.mark.parametrize("lines", [["compute.device=cuda"], FULL], ids=["lab", "shape"])
def test_what_is_kept_changes_no_number(
    lines: list[str], make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [*lines, "algo.rollouts=2", "compute.micro_batch=2"]
    expected = trained(make_cell(*lines, "compute.gradient_checkpointing=false", runs="all"))
    assert expected[0]["grad_norm"] > 0
    assert trained(make_cell(*lines, "compute.gradient_checkpointing=true", runs="none")) == expected
    set_anew, turns, taken = passes._compute_anew, cycle((True, False)), []
    monkeypatch.setattr(passes, "_compute_anew", lambda model, on: taken.append(on) or set_anew(model, next(turns)))
    assert trained(make_cell(*lines, "compute.gradient_checkpointing=true", runs="some")) == expected
    assert len(taken) > 2 and all(taken), "of these every second kept its activations instead"
