"""Weights that are not those of the config are refused, where transformers goes on with random numbers."""

import base64
import inspect
import json
import shutil
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import create_model_from_path, get_config_model_id

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train.model import load, load_tokenizer


def folder(tmp_path: Path, **changes: Any) -> Path:
    """The lab's qwen with another config."""
    made = Path(shutil.copytree(model_dir("qwen"), tmp_path / "model"))
    config = json.loads((made / "config.json").read_text()) | changes
    (made / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return made


def refusal(made: Path) -> str:
    cell = compose_or_refuse(["model=path", f"model.path={made}"], multirun=False)[0].cell
    with pytest.raises(UserError) as refused:
        load(cell)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """cached("org/tiny", main="llama", pinned="qwen") fills a Hub's cache: a lab family's model by revision."""

    def fill(hub: str, **revisions: str) -> None:
        repo = tmp_path / f"models--{hub.replace('/', '--')}"
        for revision, family in revisions.items():
            commit = sha1(revision.encode()).hexdigest()
            shutil.copytree(model_dir(family), repo / "snapshots" / commit)
            (repo / "refs").mkdir(exist_ok=True)
            (repo / "refs" / revision).write_text(commit)

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return fill


def test_attention_is_not_planned_anew_for_each_length(tmp_path: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    load(compose_or_refuse(["model=path", f"model.path={folder(tmp_path)}"], multirun=False)[0].cell)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_a_sound_folder_loads(tmp_path: Path) -> None:
    cell = compose_or_refuse(["model=path", f"model.path={folder(tmp_path)}"], multirun=False)[0].cell
    assert load(cell)[0].config.model_type == "qwen2"


def test_a_hub_model_is_read_at_its_revision_by_us_and_by_trl(
    cached: Callable[..., None],
) -> None:
    """TRL reads the reference model by the config's name, and no revision."""
    cached("org/tiny", main="llama", pinned="qwen")
    lines = ["model=lab/qwen", "model.path=null", "model.hub=org/tiny", "model.revision=pinned"]
    model, _ = load(compose_or_refuse(lines, multirun=False)[0].cell)
    reference = create_model_from_path(get_config_model_id(model.config))
    assert type(model).__name__ == type(reference).__name__ == "Qwen2ForCausalLM"
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True)
    )
    assert "get_config_model_id(self.model.config), **model_init_kwargs" in inspect.getsource(GRPOTrainer.__init__)


def test_a_hub_model_that_is_not_in_the_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UserError, match=r"model Qwen/Qwen2.5-Math-7B: cannot be loaded .* prefetch model=qwen2.5_math_7b"
    ):
        load(compose_or_refuse(["model=qwen2.5_math_7b"], multirun=False)[0].cell)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 3, "layer_types": None}, "they lack model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1, "layer_types": None}, "they have also model.layers.1.input_layernorm.weight"),
        ({"intermediate_size": 512}, "down_proj.weight as [64, 256], not [64, 512] and "),
        ({"tie_word_embeddings": False}, "they lack lm_head.weight"),
        ({"model_type": "bert", "architectures": None}, "they lack bert.embeddings"),
        ({"model_type": "t5", "architectures": None}, "cannot be loaded (Unrecognized configuration class"),
        ({"model_type": "foo", "architectures": ["FooForCausalLM"]}, "does not recognize this architecture"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(folder(tmp_path, **changes))


def test_a_vocabulary_of_mistrals_own_format_is_one(tmp_path: Path) -> None:
    made = folder(tmp_path, model_type="mistral", architectures=["MistralForCausalLM"])
    (made / "tokenizer.json").unlink()
    said = {"pattern": ".", "num_vocab_tokens": 256, "default_vocab_size": 259, "default_num_special_tokens": 3}
    special = [
        {"rank": rank, "token_str": text, "is_control": True} for rank, text in enumerate(("<unk>", "<s>", "</s>"))
    ]
    words = [{"rank": rank, "token_bytes": base64.b64encode(bytes([rank])).decode()} for rank in range(256)]
    tekken = {"config": {**said, "version": "v3"}, "vocab": words, "special_tokens": special}
    (made / "tekken.json").write_text(json.dumps(tekken))
    cell = compose_or_refuse(["model=path", f"model.path={made}"], multirun=False)[0].cell
    assert load_tokenizer(cell)("1 + 1", add_special_tokens=False)["input_ids"] == [3 + ord(each) for each in "1 + 1"]


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made / "tokenizer.json").write_text('{"a": 1}')
    assert "its tokenizer cannot be loaded (KeyError: 'added_tokens')" in refusal(made)


def test_a_tokenizer_made_of_nothing_is_named(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made / "tokenizer.json").rename(made / "vocab.txt")  # no file of a Qwen2 tokenizer
    assert "its tokenizer knows no words" in refusal(made)
