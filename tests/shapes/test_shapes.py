"""Shapes: random weights in true architectures, written once, the same everywhere, and named as such."""

import json
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes import folder as writing
from rlvr_sweep.shapes import table
from rlvr_sweep.shapes.folder import ensure
from rlvr_sweep.shapes.table import SHAPES

PARAMETERS = {  # as the published models count them
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen2_5_7b": 7_615_616_512,
    "llama3_2_3b": 3_212_749_824,
    "llama3_1_8b": 8_030_261_248,
    "olmo2_7b": 7_298_617_344,
}
STRANGE = "naïve ∑ 日本 😀 [x]\t\n\n  4+8 don't </answer>"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


def test_each_shape_has_the_parameters_of_the_published_model() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for name, count in PARAMETERS.items():
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[name].config()))
        assert sum(p.numel() for p in model.parameters()) == count, name


def test_every_shape_is_a_choice() -> None:
    for name in SHAPES:
        [cell] = compose_or_refuse([f"model=shape/{name}"], multirun=False)
        assert cell.cell.model.path == f"shape:{name}"
        assert any("weights are random" in text for text in cell.cell.deviations)


def test_the_identity_is_the_recipe_and_needs_no_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compose_or_refuse(["model=shape/qwen2_5_7b"], multirun=False)[0]
    assert first.hashes["model"] == table.recipe_hash("qwen2_5_7b")
    assert not cache.exists()
    monkeypatch.setattr(table, "SEED", 1)
    assert compose_or_refuse(["model=shape/qwen2_5_7b"], multirun=False)[0].cell_id != first.cell_id
    assert compose_or_refuse(["model=shape/olmo2_7b"], multirun=False)[0].cell_id != first.cell_id


def test_an_unknown_shape_is_told() -> None:
    faults = compose(["model=shape/tiny", "model.path=shape:qwen_7b"], multirun=False).faults
    assert len(faults) == 1 and "no such shape" in faults[0] and "qwen2_5_7b" in faults[0]


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "olmo2"])
def test_the_folder_loads_and_the_tokenizer_round_trips(
    architecture: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rope = table.Rope(8.0) if architecture == "llama" else None
    monkeypatch.setitem(SHAPES, "tiny", replace(SHAPES["tiny"], architecture=architecture, rope=rope))
    monkeypatch.setattr(writing, "SHARD_BYTES", 400_000)
    where = ensure("tiny")
    assert cache in where.parents
    assert len(list(where.glob("*.safetensors"))) > 1
    loaded: Any = AutoModelForCausalLM.from_pretrained(where, output_loading_info=True)
    model, info = loaded
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.model_type == architecture
    assert json.loads((where / "config.json").read_text())["dtype"] == "bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(where)
    assert len(tokenizer) <= 1024 < model.config.vocab_size == 4096
    ids = tokenizer(STRANGE)["input_ids"]
    assert tokenizer.decode(ids) == STRANGE and tokenizer.pad_token_id not in ids
    assert {tokenizer.pad_token_id, tokenizer.eos_token_id} == {
        model.config.pad_token_id,
        model.generation_config.eos_token_id,
    }
    head = model.lm_head.weight.float()
    assert abs(head.std().item() - table.STD) < 1e-3 and abs(head.mean().item()) < 1e-3


def test_the_same_bytes_every_time_and_written_only_once(cache: Path) -> None:
    first = ensure("tiny")
    bytes_before = {file.name: file.read_bytes() for file in first.iterdir()}
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert ensure("tiny") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    os.rename(first, first.with_name("before"))
    assert {file.name: file.read_bytes() for file in ensure("tiny").iterdir()} == bytes_before
    assert not list(first.parent.glob("*.partial"))


def test_no_room_and_no_right_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 0

    monkeypatch.setattr(writing.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(UserError, match=r"set HF_HOME"):
        ensure("tiny")
    assert not list((cache / "rlvr_sweep-shapes").glob("tiny*"))
    monkeypatch.undo()
    monkeypatch.setenv("HF_HOME", str(cache))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # it fills up while it is written
    try:
        with pytest.raises(UserError, match=r"File too large.*set HF_HOME"):
            ensure("tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((cache / "rlvr_sweep-shapes").glob("tiny*"))
    monkeypatch.setenv("HF_HOME", "/proc/nowhere")
    with pytest.raises(UserError, match=r"set HF_HOME"):
        ensure("tiny")


def test_a_cell_of_a_shape_runs_on_the_cpu(cache: Path, make_cell: Callable[..., CellDir]) -> None:
    from rlvr_sweep.train.worker import main

    directory = make_cell(
        "model=shape/tiny", "compute.device=cpu", "algo.rollouts=1", "eval.every=0", "algo.max_prompt_tokens=256"
    )
    assert main([str(directory.path)]) == 0
    assert directory.read_status()["state"] == "done"
    metrics = [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 2


def test_completions_of_a_shape_may_end_by_chance(cache: Path) -> None:
    """As long on average as asked for, whoever samples: the end tokens are in the folder, where all of them look."""
    import torch
    from transformers import AutoModelForCausalLM

    from rlvr_sweep.train.generation import Sampling, Untrained
    from rlvr_sweep.train.model import load

    lines = ["model=shape/tiny", "model.path=shape:tiny@16"]
    one = compose_or_refuse(lines, multirun=False)[0]
    assert one.hashes["model"] not in (table.recipe_hash("tiny"), table.recipe_hash("tiny@17"))
    model, tokenizer = load(one.cell)
    plain: Any = AutoModelForCausalLM.from_pretrained(table.folder("tiny@16"))  # as TRL's stock trainer and vLLM
    ends = model.generation_config.eos_token_id
    assert ends == plain.generation_config.eos_token_id
    assert len(ends) <= 128 and set(table.find_shape("tiny@16").ends()) < set(ends)
    device = torch.device("cpu")
    backend = Untrained(model, tokenizer, device=device, dtype="float32", stop=[], batch=None)
    prompts = [[i % 900 + 8, 50, 60, 70] for i in range(600)]
    samples = backend.generate(prompts, Sampling(128, 1.0), seeds=list(range(600)))
    mean = sum(len(s.ids) for s in samples) / len(samples)
    assert abs(mean - 16) < 3  # the standard error is 0.65; and words are drawn with unequal odds
    assert sum(s.truncated for s in samples) < 10


def test_rows_of_end_tokens_are_scaled_to_the_mean_length() -> None:
    for name, tokens in (("qwen2_5_1_5b", 800), ("qwen2_5_7b", 800), ("olmo2_7b", 200)):
        shape = table.find_shape(f"{name}@{tokens}")
        assert len(set(shape.ends())) == table.END_TOKENS and max(shape.ends()) < shape.vocab_size
        variance = shape.hidden_size * table.STD**2
        share = len(shape.ends()) / shape.vocab_size * np.exp((shape.end_scale() ** 2 - 1) * variance / 2)
        assert share == pytest.approx(1 / tokens)
    assert table.find_shape("qwen2_5_7b@20000").end_scale() == pytest.approx(1, abs=0.1)
    assert table.find_shape("qwen2_5_7b").ends() == []
