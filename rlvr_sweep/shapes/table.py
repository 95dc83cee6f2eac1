"""The shapes: what the published models' config.json files say, under a name, and where such a model's folder lies.

    find_shape("qwen2_5_7b").config()         # as config.json has it
    folder("qwen2_5_7b")                      # where shapes/folder.py writes it, once

A shape is its recipe, not its 15 GB: recipe_hash() stands for it in a cell's identity. Standard library only.
"""

import json
import os
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest

PREFIX = "shape:"  # of model.path
SEED = 0  # of the weights
STD = 0.02  # of the weights: what all these models were initialized with
VERSION = 1  # raise it when the same recipe makes other weights or another tokenizer


@dataclass(frozen=True)
class Rope:
    """Llama 3.1's stretched rotary positions: the original context times `factor`."""

    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True)
class Shape:
    """Field names are those of config.json. `hubs`: the published models that are of this size."""

    name: str
    architecture: Literal["qwen2", "llama", "olmo2"]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool
    rope: Rope | None = None
    hubs: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """The architecture, as config.json says it."""
        fields = asdict(self)
        for other in ("name", "architecture", "rope", "rope_theta", "hubs"):
            del fields[other]
        rope: dict[str, Any] = {"rope_type": "default", "rope_theta": self.rope_theta}
        if self.rope is not None:
            rope |= {"rope_type": "llama3", **asdict(self.rope)}
        head = self.hidden_size // self.num_attention_heads
        more = {"head_dim": head} if self.architecture == "llama" else {}
        return {"model_type": self.architecture, "initializer_range": STD, "rope_parameters": rope, **fields, **more}


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("tiny", "qwen2", 64, 192, 2, 4, 2, 4096, 4096, 1e4, 1e-6, tie_word_embeddings=False),
        Shape(
            "qwen2_5_1_5b", "qwen2", 1536, 8960, 28, 12, 2, 151936, 131072, 1e6, 1e-6, tie_word_embeddings=True,
            hubs=("Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-Math-1.5B"),
        ),
        Shape(
            "qwen2_5_7b", "qwen2", 3584, 18944, 28, 28, 4, 152064, 131072, 1e6, 1e-6, tie_word_embeddings=False,
            hubs=(
                "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-Math-7B", "Qwen/Qwen2.5-Math-7B-Instruct",
            ),
        ),
        Shape(
            "llama3_2_3b", "llama", 3072, 8192, 28, 24, 8, 128256, 131072, 5e5, 1e-5, tie_word_embeddings=True,
            rope=Rope(32.0), hubs=("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct"),
        ),
        Shape(
            "llama3_1_8b", "llama", 4096, 14336, 32, 32, 8, 128256, 131072, 5e5, 1e-5, tie_word_embeddings=False,
            rope=Rope(8.0), hubs=("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
        ),
        Shape(
            "olmo2_7b", "olmo2", 4096, 11008, 32, 32, 32, 100352, 4096, 5e5, 1e-6, tie_word_embeddings=False,
            hubs=("allenai/OLMo-2-1124-7B", "allenai/OLMo-2-1124-7B-SFT"),
        ),
    )
}  # fmt: skip


def find_shape(name: str) -> Shape:
    """The shape of that name; UserError with the nearest one otherwise."""
    if name not in SHAPES:
        raise UserError(f"model.path={PREFIX}{name}: no such shape; {nearest(name, SHAPES)}")
    return SHAPES[name]


def recipe_hash(name: str) -> str:
    """SHA-256 (hex) over all that determines the weights: the architecture, the seed, the version of the code."""
    recipe = {"config": find_shape(name).config(), "seed": SEED, "version": VERSION}
    return sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def folder(name: str) -> Path:
    """Where the model of a shape lies once it is written: beside the Hub's cache, which is where large files may go
    (HF_HOME). Another recipe has another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()
    return home / "rlvr_sweep-shapes" / f"{find_shape(name).name}-{recipe_hash(name)[:8]}"


def name_in(path: str | None) -> str | None:
    """The name in a model.path such as shape:qwen2_5_7b; None where it is none."""
    return path.removeprefix(PREFIX) if path is not None and path.startswith(PREFIX) else None
