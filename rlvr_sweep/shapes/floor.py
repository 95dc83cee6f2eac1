"""What a rollout costs at least: the FLOPs of its update and the bytes that its generation reads.

    update_flops(sizes, [Length(prompt=100, completion=800)] * 1024)     # forward and backward, nothing twice
    decode_bytes(sizes, lengths, width=2)                                # of one GPU, all completions at once
    by_chance(256, prompt=100, mean=800, limit=3072)                     # lengths before any completion is sampled

Pure arithmetic over lengths in tokens; `device` knows what a GPU can do by its name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlvr_sweep.shapes.sizes import Sizes


class Length(NamedTuple):
    """Tokens of a prompt and of a completion to it."""

    prompt: int
    completion: int


@dataclass(frozen=True)
class Device:
    """Its peak in dense bfloat16 FLOP/s and its memory's bytes/s, as the maker says them."""

    flops: float
    bandwidth: float


DEVICES = {  # by a part of the name that torch and nvidia-smi give; the first that fits counts
    "B200": Device(2.25e15, 8.0e12),
    "GH200": Device(989e12, 4.0e12),
    "H200 NVL": Device(835e12, 4.8e12),
    "H200": Device(989e12, 4.8e12),
    "H100 PCIe": Device(756e12, 2.0e12),
    "H100 NVL": Device(835e12, 3.9e12),
    "H100": Device(989e12, 3.35e12),
    "A100-SXM4-40GB": Device(312e12, 1.555e12),
    "A100-PCIE-40GB": Device(312e12, 1.555e12),
    "A100 80GB PCIe": Device(312e12, 1.935e12),
    "A100": Device(312e12, 2.039e12),
    "L40S": Device(362e12, 0.864e12),
}


def device(name: str) -> Device | None:
    """What is known of a device by its name; None: nothing, and no share of a peak can be told."""
    return next((found for part, found in DEVICES.items() if part in name), None)


def update_flops(sizes: Sizes, lengths: Sequence[Length], *, lora: int = 0) -> float:
    """FLOPs to train once on these sequences: 2 a weight and token forward, 4 backward, prompts included.

    The head sees completions alone. Attention is causal: a token meets half of its sequence, at 4 FLOPs an entry of
    all heads forward and 8 backward. `lora`: the adapters' parameters; frozen weights take no gradient (4, not 6).
    """
    body, head = sizes.layers * sizes.layer, sizes.vocabulary * sizes.hidden
    tokens = sum(one.prompt + one.completion for one in lengths)
    each = 4 if lora else 6
    linear = each * (body * tokens + head * sum(one.completion for one in lengths)) + 6 * lora * tokens
    width = sizes.layers * sizes.heads * sizes.head
    return float(linear + sum(6 * width * (one.prompt + one.completion) ** 2 for one in lengths))


def decode_bytes(sizes: Sizes, lengths: Sequence[Length], *, width: int) -> float:
    """Bytes that a GPU must read to sample these completions, all at once: in every step all weights, and of every
    completion that goes on the keys and values of the tokens so far; a first token comes of the prompt's own pass.

    `width`: bytes of a number. An embedding that is not the head is looked up, not read.
    """
    weights = sizes.layers * sizes.layer + sizes.vocabulary * sizes.hidden
    steps = max((one.completion for one in lengths), default=0)
    cached = sum((one.completion - 1) * one.prompt + one.completion * (one.completion - 1) // 2 for one in lengths)
    return float(steps * weights * width + cached * sizes.kv_bytes_per_token(width))


def by_chance(completions: int, *, prompt: float, mean: float, limit: int) -> list[Length]:
    """Lengths as of completions that end with the same odds at every token, after `mean` tokens on average, and are cut
    at `limit`: the middles of as many equal parts of that distribution."""
    parts = ((which + 0.5) / completions for which in range(completions))
    return [Length(round(prompt), max(1, min(limit, round(-mean * math.log1p(-part))))) for part in parts]
