"""Writes a shape as a Hugging Face folder, once: config, a small tokenizer, random weights in bfloat16.

    ensure("qwen2_5_7b")        # its folder; 15 GB, about a minute on one core, the first time

Tensor by tensor, so that no more than a shard is ever in memory. Each tensor has a stream of its own, drawn on the
CPU: the same weights on every machine. Whoever comes second waits for the first.
"""

import fcntl
import json
import os
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.corpus import tokenizer_texts
from rlvr_sweep.shapes.table import OWN_WORDS, SEED, STD, Shape, find_shape, folder

PAD, END, START, TURN_END = "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}" + START + "{{ m.role }}\n{{ m.content }}" + TURN_END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
)
SHARD_BYTES = 4 << 30


def ensure(name: str) -> Path:
    """The folder of a shape, written if it is not there. UserError: an unknown shape, no room, no right to write."""
    from safetensors import SafetensorError

    target = folder(name)
    if (target / "config.json").is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the system when its holder dies
            if not (target / "config.json").is_file():
                _write(find_shape(name), target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"model.path=shape:{name}: cannot be written to {target} ({reason}); set HF_HOME to a folder with room"
        ) from None
    return target


def _write(shape: Shape, target: Path) -> None:
    """The whole folder under another name, then renamed."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        tokenizer = make_tokenizer(shape)
        ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
        config = AutoConfig.for_model(**shape.config(), **ids)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        tensors = {name: tuple(each.shape) for name, each in empty.named_parameters()}  # a tied head is not among them
        size = 2 * sum(each.numel() for each in empty.parameters())
        free = shutil.disk_usage(partial).free
        if free < size:
            raise UserError(
                f"model.path=shape:{shape.name}: takes {size / 1e9:.1f} GB, {target.parent} has {free / 1e9:.1f} GB "
                "free; set HF_HOME to a folder with room"
            )
        if size > 1e9:
            print(f"rlvr_sweep: writing random weights of {shape.name} ({size / 1e9:.1f} GB, once) to {target}",
                  file=sys.stderr)  # fmt: skip
        tokenizer.save_pretrained(partial)
        turn_end = tokenizer.convert_tokens_to_ids(TURN_END)
        ends = sorted({tokenizer.eos_token_id, turn_end, *shape.ends()}) if shape.ends() else tokenizer.eos_token_id
        GenerationConfig(**ids | {"eos_token_id": ends}).save_pretrained(partial)
        _write_weights(tensors, partial, shape)
        config.architectures = [type(empty).__name__]
        config.dtype = "bfloat16"
        config.save_pretrained(partial)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_weights(tensors: dict[str, tuple[int, ...]], into: Path, shape: Shape) -> None:
    """Sharded safetensors with their index, named as the Hub names them."""
    from safetensors.torch import save_file

    shards: list[list[str]] = [[]]
    room = SHARD_BYTES
    head = "model.embed_tokens.weight" if shape.tie_word_embeddings else "lm_head.weight"
    for name, lengths in tensors.items():
        size = 2 * _count(lengths)
        if shards[-1] and size > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(name)
        room -= size
    placed: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        drawn = {name: draw(name, tensors[name]) for name in names}
        if head in drawn and shape.ends():
            drawn[head][shape.ends()] *= shape.end_scale()
        save_file(drawn, into / file, metadata={"format": "pt"})
        (into / file).chmod(0o644)  # safetensors writes for its owner alone; a cache may be shared
        placed |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = 2 * sum(map(_count, tensors.values()))
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        (into / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def draw(name: str, shape: tuple[int, ...]) -> Any:
    """A bfloat16 tensor as training would begin: norms 1, biases 0, matrices normal with `STD`, from the name's own
    stream."""
    import torch

    if len(shape) == 1:
        return torch.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=torch.bfloat16)
    seed = int.from_bytes(sha256(f"{SEED}/{name}".encode()).digest()[:8], "big") >> 1
    stream = torch.Generator().manual_seed(seed)
    found = torch.empty(shape, dtype=torch.bfloat16)
    rows = max(1, (64 << 20) // shape[1])  # at a time: the float32 draw of a whole embedding takes gigabytes
    for first in range(0, shape[0], rows):
        part = found[first : first + rows]
        part.copy_(torch.empty(part.shape).normal_(0.0, STD, generator=stream))
    return found


def make_tokenizer(shape: Shape) -> Any:
    """A byte-level BPE tokenizer with a chat template that takes any role. Its vocabulary is small, the model's true.

    A `Qwen2Tokenizer`, as the lab's (lab/pretraining.py): transformers rebuilds a tokenizer from its class name.
    """
    from transformers import Qwen2Tokenizer

    special: dict[str, Any] = {"pad_token": PAD, "unk_token": PAD, "eos_token": END}
    blank = Qwen2Tokenizer(**special, additional_special_tokens=[START, TURN_END])
    trained = blank.train_new_from_iterator(tokenizer_texts(), vocab_size=OWN_WORDS, show_progress=False)
    for name, value in (("padding_side", "left"), ("model_max_length", shape.max_position_embeddings)):
        setattr(trained, name, value)
        trained.init_kwargs[name] = value  # what is not among these is not saved
    trained.chat_template = TEMPLATE
    return trained
