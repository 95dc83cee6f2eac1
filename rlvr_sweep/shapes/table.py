"""The shapes: what the published models' config.json files say, under a name, and where such a model's folder lies.

    find_shape("qwen2_5_7b").config()         # as config.json has it
    folder("qwen2_5_7b")                      # where shapes/folder.py writes it, once
    find_shape("qwen2_5_7b@800")              # its completions end by themselves, after 800 tokens on average

A shape is its recipe, not its 15 GB: recipe_hash() stands for it in a cell's identity. Standard library only.
"""

import json
import math
import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest

PREFIX = "shape:"  # of model.path
SEED = 0  # of the weights
STD = 0.02  # of the weights: what all these models were initialized with
VERSION = 1  # raise it when the same recipe makes other weights or another tokenizer
END_TOKENS = 120  # of a shape whose completions end; vLLM takes 128 at most, and looks through them at every token
OWN_WORDS = 1024  # the tokenizer's vocabulary; the words beyond it are in no text


@dataclass(frozen=True)
class Rope:
    """Llama 3.1's stretched rotary positions: the original context times `factor`."""

    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True)
class Shape:
    """Field names are those of config.json. `hubs`: the published models that are of this size. `mean_tokens`: how long
    completions are on average at temperature 1; None: they never end, as random weights know no end."""

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
    mean_tokens: int | None = None

    def config(self) -> dict[str, Any]:
        """The architecture, as config.json says it."""
        fields = asdict(self)
        for other in ("name", "architecture", "rope", "rope_theta", "hubs", "mean_tokens"):
            del fields[other]
        rope: dict[str, Any] = {"rope_type": "default", "rope_theta": self.rope_theta}
        if self.rope is not None:
            rope |= {"rope_type": "llama3", **asdict(self.rope)}
        head = self.hidden_size // self.num_attention_heads
        more = {"head_dim": head} if self.architecture == "llama" else {}
        return {"model_type": self.architecture, "initializer_range": STD, "rope_parameters": rope, **fields, **more}

    def ends(self) -> list[int]:
        """Words that end a completion, from all over the vocabulary, but for those of texts."""
        if self.mean_tokens is None:
            return []
        count = max(1, min(END_TOKENS, round(self.vocab_size / self.mean_tokens)))
        room = self.vocab_size - OWN_WORDS
        return [OWN_WORDS + room * i // count for i in range(count)]

    def end_scale(self) -> float:
        """What the head's rows of `ends` are longer by, so that one of them is drawn once in `mean_tokens`.

        Behind the last norm a state has a length of sqrt(hidden), so the logit of a word is normal with a variance of
        s2 = hidden * STD**2, and its share of the softmax has a mean of exp(s2 / 2) over the sum. Rows c times as long
        raise it to exp(c**2 * s2 / 2)."""
        more = self.vocab_size / ((self.mean_tokens or self.vocab_size) * max(1, len(self.ends())))
        return math.sqrt(1 + 2 * math.log(max(1.0, more)) / (self.hidden_size * STD**2))


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
    """The shape of that name, or of NAME@TOKENS; UserError with the nearest one otherwise."""
    plain, at, tokens = name.partition("@")
    if plain not in SHAPES:
        raise UserError(f"model.path={PREFIX}{name}: no such shape; {nearest(plain, SHAPES)}")
    if not at:
        return SHAPES[plain]
    if not tokens.isdecimal() or int(tokens) < 2:
        raise UserError(f"model.path={PREFIX}{name}: {tokens!r} is no mean length; write {PREFIX}{plain}@800")
    return replace(SHAPES[plain], mean_tokens=int(tokens))


def recipe_hash(name: str) -> str:
    """SHA-256 (hex) over all that determines the weights: the architecture, the seed, the version of the code."""
    shape = find_shape(name)
    recipe: dict[str, Any] = {"config": shape.config(), "seed": SEED, "version": VERSION}
    if shape.mean_tokens is not None:
        recipe["mean_tokens"] = shape.mean_tokens
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
