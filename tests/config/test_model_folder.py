"""A model folder that something is wrong with is refused before anything starts, in one line that says what."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.config.compose import compose
from rlvr_sweep.lab.families import model_dir


def edit(**changes: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return act


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def half_a_model(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


def index_of_nothing(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}')


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").write_text('{"a":'), "its config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "its config.json is no JSON object"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "its tokenizer_config.json cannot be read"),
        (edit(model_type=None), "names no model_type"),
        (edit(architectures=["BertForMaskedLM"]), "its architecture is BertForMaskedLM, not that of a causal"),
        (edit(architectures=["T5ForConditionalGeneration"]), "write a model whose architecture ends with ForCausalLM"),
        (cut, "model.safetensors is cut off"),
        (pointer, "git-lfs"),
        (edit(architectures="BertForMaskedLM"), "its architecture is BertForMaskedLM, not"),
        (edit(architectures=[7]), "its architecture is 7, not"),
        (index_of_nothing, "its model.safetensors.index.json lists no files"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "holds no tokenizer (tokenizer.json)"),
        (half_a_model, "lacks 1 of 2 files, model-00002-of-00002.safetensors first"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(damage: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("qwen"), tmp_path / "model"))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    lines = ["model=path", f"model.path={folder}", "model.template=chat"]
    damage(folder)
    (fault,) = compose(lines, multirun=False).faults
    assert fault.startswith(f"model.path={folder}: ") and said in fault, fault


def test_architectures_that_are_causal_or_not_named_pass(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("qwen"), tmp_path / "model"))
    for names in (None, ["GPT2LMHeadModel"], ["LlamaForCausalLM"], "LlamaForCausalLM"):
        edit(architectures=names)(folder)
        assert compose(["model=path", f"model.path={folder}"], multirun=False).faults == []


def test_a_context_that_is_no_number_is_not_known(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("qwen"), tmp_path / "model"))
    edit(max_position_embeddings="256")(folder)
    assert compose(["model=path", f"model.path={folder}"], multirun=False).faults == []
