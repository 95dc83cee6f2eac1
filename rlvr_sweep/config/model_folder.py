"""A local model folder, looked at before anything starts: what it lacks, what is broken in it, what it is not.

    context = check("model.path=DIR", Path("DIR"), chat=True)      # tokens, or None; UserError

Plain Python, no torch: JSON, and the headers of the weights. Whether the weights are those of the config is seen when
they are loaded (train/loading.py).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError

CAUSAL = ("ForCausalLM", "LMHeadModel")  # how the names of architectures end that write from left to right
# What holds a vocabulary. From a tokenizer_config.json alone transformers makes a tokenizer that knows no word.
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "tiktoken.model", "vocab.json", "vocab.txt")


def check(where: str, folder: Path, *, chat: bool) -> int | None:
    """The context length that its config tells. `where` names the folder in a message; `chat`: whether the template
    needs the tokenizer's chat template."""
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; write a Hugging Face model folder (config.json, weights, tokenizer)")
    if not (folder / "config.json").is_file():
        raise UserError(f"{where}: holds no config.json; write the folder that `save_pretrained` made")
    config = _json(where, folder / "config.json")
    if "model_type" not in config:
        raise UserError(f"{where}: its config.json names no model_type; write the folder that `save_pretrained` made")
    if fault := not_causal(config.get("architectures")):
        raise UserError(f"{where}: {fault}")
    _check_weights(where, folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(
            f"{where}: holds no tokenizer ({TOKENIZERS[0]}); save it there with "
            f"`tokenizer.save_pretrained({folder.name!r})`"
        )
    if chat and not _has_chat_template(where, folder):
        raise UserError(f"{where}: its tokenizer has no chat template; write model.template=raw or model.template=r1")
    context = config.get("max_position_embeddings")
    return context if isinstance(context, int) else None


def not_causal(architectures: Sequence[str] | None) -> str | None:
    """What is wrong with a config's architectures; None: nothing, or it names none."""
    named = [architectures] if isinstance(architectures, str) else [str(name) for name in architectures or ()]
    if not named or any(name.endswith(CAUSAL) for name in named):
        return None
    return (
        f"its architecture is {named[0]}, not that of a causal language model of text; write a model whose "
        "architecture ends with ForCausalLM"
    )


def _json(where: str, file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: its {file.name} cannot be read ({error}); copy it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{where}: its {file.name} is no JSON object; copy it again")
    return found


def _has_chat_template(where: str, folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and bool(_json(where, config).get("chat_template"))


def _check_weights(where: str, folder: Path) -> None:
    """Whether there are weights, all that the index lists, each as long as its header says."""
    files = sorted(folder.glob("*.safetensors"))
    if not files and not any(folder.glob("*.bin")):
        raise UserError(f"{where}: holds no weights (*.safetensors); save the model there with `save_pretrained`")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        placed = _json(where, index).get("weight_map")
        if not isinstance(placed, dict):
            raise UserError(f"{where}: its {index.name} lists no files (weight_map); copy it again")
        listed = set(placed.values())
        if missing := sorted(listed - {file.name for file in files}):
            raise UserError(
                f"{where}: lacks {len(missing)} of {len(listed)} files, {missing[0]} first; copy them again"
            )
    for file in files:
        if not _is_whole(file):
            raise UserError(
                f"{where}: {file.name} is cut off or no safetensors file ({file.stat().st_size:,} bytes; a pointer of "
                "git-lfs has about 130); copy it again"
            )


def _is_whole(file: Path) -> bool:
    """A safetensors file: 8 bytes with the length of a JSON header, which tells where each tensor ends."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > size - 8:
            return False
        try:
            header: dict[str, Any] = dict(json.loads(stream.read(length)))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError):
            return False
    return 8 + length + max(ends, default=0) == size
