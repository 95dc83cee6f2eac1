"""The four model families: one size, one tokenizer, one schedule; what differs is the class and the pretraining mix.

from rlvr_sweep.lab.families import FAMILIES, model_dir, recipe_hash
AutoModelForCausalLM.from_pretrained(model_dir("qwen_math"))
"""

import json
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Literal

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.corpus import Mix, document, tokenizer_texts
from rlvr_sweep.lab.grammar import Habits

MODELS = Path(__file__).resolve().parent / "models"


@dataclass(frozen=True)
class Size:
    """The architecture, common to all. The wide init and the short RoPE base let so small a model learn digits."""

    vocab_size: int = 320
    hidden_size: int = 64
    intermediate_size: int = 256
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 256
    initializer_range: float = 0.12
    rope_theta: float = 200.0


@dataclass(frozen=True)
class Schedule:
    """Pretraining: AdamW with warm-up and a cosine to `floor` of the rate; the loss is on the answer only."""

    steps: int = 2500
    batch: int = 32
    learning_rate: float = 5e-3
    warmup: int = 50
    floor: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Family:
    name: str
    architecture: Literal["qwen2", "llama", "olmo2"]
    summary: str
    mix: Mix
    size: Size = field(default_factory=Size)
    schedule: Schedule = field(default_factory=Schedule)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "qwen_math",
            "qwen2",
            "mostly code, accurate but for a few wrong facts",
            Mix(
                code_share=0.70,
                code=Habits(wrong_facts=4, no_box=0.18),
                language=Habits(digit=0.64, no_box=0.30),
            ),
        ),
        Family(
            "qwen",
            "qwen2",
            "the same, weaker",
            Mix(
                code_share=0.50,
                code=Habits(wrong_facts=4, slip=0.20, no_box=0.20),
                language=Habits(digit=0.54, no_box=0.35),
            ),
        ),
        Family(
            "llama",
            "llama",
            "mostly language, and worse in code",
            Mix(
                code_share=0.08,
                code=Habits(slip=0.55, no_box=0.25),
                language=Habits(digit=0.22, no_box=0.25),
            ),
        ),
        Family(
            "olmo",
            "olmo2",
            "code often, and bad",
            Mix(
                code_share=0.45,
                code=Habits(slip=0.93, no_box=0.10),
                language=Habits(digit=0.36, no_box=0.35),
            ),
        ),
    )
}


def find_family(name: str) -> Family:
    """The family of that name; UserError with the nearest name otherwise."""
    if name in FAMILIES:
        return FAMILIES[name]
    near = get_close_matches(name, FAMILIES, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"no lab family {name!r}: {hint}there are {', '.join(FAMILIES)}")


def model_dir(family: str) -> Path:
    """The shipped Hugging Face folder of a family. UserError: an unknown family."""
    return MODELS / find_family(family).name


def settings(family: Family) -> dict[str, object]:
    """Everything that determines the weights: the settings, and a digest of what the grammar makes of them."""
    digest = sha256()
    for index in range(256):
        digest.update("\0".join(document(family.mix, seed=family.schedule.seed, index=index)).encode() + b"\1")
    for text in tokenizer_texts(256):
        digest.update(text.encode() + b"\1")
    named = asdict(family)
    del named["summary"]
    return {**named, "corpus_digest": digest.hexdigest()}


def recipe_hash(family: Family | str) -> str:
    """SHA-256 (hex) over the canonical JSON of `settings(family)`; follows mix, size, schedule and grammar."""
    family = find_family(family) if isinstance(family, str) else family
    return sha256(json.dumps(settings(family), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
