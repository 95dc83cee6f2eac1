"""Cells that keep the activations of some passes and compute those of the others anew."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.shapes import memory
from rlvr_sweep.train import passes, worker


def trained(directory: CellDir) -> list[dict]:
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("lora", [[], ["model.lora={rank: 4}"]])
def test_what_is_kept_changes_no_number(
    lora: list[str], make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["algo.rollouts=2", "compute.micro_batch=2", *lora]
    passed, anew, tokens = Counter[str](), [], 90
    forward, set_anew = Qwen2MLP.forward, passes._compute_anew
    monkeypatch.setattr(Qwen2MLP, "forward", lambda *given: passed.update([runs]) or forward(*given))
    monkeypatch.setattr(passes, "_compute_anew", lambda model, on: anew.append(on) or set_anew(model, on))

    runs = "whole"
    whole = make_cell(*lines, runs=runs)
    expected = trained(whole)
    monkeypatch.setattr(memory, "kept_tokens", lambda cell, total: tokens)
    runs = "some"
    some = make_cell(*lines, "compute.gradient_checkpointing=true", runs=runs)
    assert trained(some) == expected
    assert set(anew) == {True, False}, "some passes are longer, some are not"
    layers = json.loads((model_dir("qwen_math") / "config.json").read_text())["num_hidden_layers"]
    assert passed["some"] - passed["whole"] == layers * sum(anew), "a layer passes once more where it is computed anew"
    told = [json.loads(next(one.path.glob("attempts/*/env.json")).read_text()) for one in (whole, some)]
    assert [one["kept_tokens"] for one in told] == [None, tokens]
