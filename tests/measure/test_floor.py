"""FLOPs and bytes of a model small enough to count by hand."""

from dataclasses import replace

import pytest

from rlvr_sweep.shapes.floor import Length, by_chance, decode_bytes, device, update_flops
from rlvr_sweep.shapes.sizes import Sizes
from rlvr_sweep.shapes.table import find_shape

# A layer has q 16, k 8, v 8, o 16, gate, up and down 32 each, and two norms of 4: 152 weights.
SMALL = Sizes(
    "llama", 4, 8, 2, heads=2, kv_heads=1, head=2, vocabulary=10, is_tied=False, has_attention_bias=False,
    has_window=False,
)  # fmt: skip


def test_update_flops_by_hand() -> None:
    # Five tokens through 2 layers of 152, two through the head of 40; attention 6 * (2 layers * 4 wide) * 5 * 5.
    assert update_flops(SMALL, [Length(3, 2)]) == 6 * (2 * 152 * 5 + 40 * 2) + 6 * 8 * 25
    assert update_flops(SMALL, [Length(3, 2)] * 7) == 7 * update_flops(SMALL, [Length(3, 2)])


def test_frozen_weights_take_no_gradient() -> None:
    assert update_flops(SMALL, [Length(3, 2)], lora=9) == 4 * (2 * 152 * 5 + 40 * 2) + 6 * 9 * 5 + 6 * 8 * 25


def test_decode_bytes_by_hand() -> None:
    # Two steps over 344 weights of 2 bytes. The second token of the completion meets 4 tokens of 16 bytes; a longer
    # completion beside it goes on alone: its three later tokens meet 2, 3 and 4.
    assert decode_bytes(SMALL, [Length(3, 2)], width=2) == 2 * 344 * 2 + 4 * 16
    assert decode_bytes(SMALL, [Length(3, 2), Length(1, 4)], width=2) == 4 * 344 * 2 + (4 + 2 + 3 + 4) * 16
    assert decode_bytes(SMALL, [], width=2) == 0


def test_a_tied_head_is_read_once_and_an_embedding_not_at_all() -> None:
    tied = replace(SMALL, is_tied=True)
    assert decode_bytes(tied, [Length(3, 2)], width=2) == decode_bytes(SMALL, [Length(3, 2)], width=2)


def test_six_flops_a_weight_and_token_at_full_size() -> None:
    sizes = Sizes.of(find_shape("qwen2_5_1_5b").config())
    flops = update_flops(sizes, [Length(0, 1)])
    assert flops / (6 * sizes.parameters) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("x86_64", None),
    ],
)
def test_devices_are_known_by_their_names(name: str, flops: float | None) -> None:
    found = device(name)
    assert (found.flops if found else None) == flops


def test_lengths_by_chance_have_their_mean_and_their_limit() -> None:
    free = [one.completion for one in by_chance(4096, prompt=60.4, mean=800, limit=100_000)]
    assert sum(free) / 4096 == pytest.approx(800, rel=0.01)
    assert sum(length > 800 for length in free) / 4096 == pytest.approx(1 / 2.71828, rel=0.01)
    cut = by_chance(256, prompt=60.4, mean=800, limit=3072)
    assert (min(cut)[0], max(one.completion for one in cut), min(one.completion for one in cut)) == (60, 3072, 2)
