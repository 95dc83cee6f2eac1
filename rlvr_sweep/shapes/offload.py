"""What compute.offload holds of a node's own memory: the tensors that DeepSpeed 0.19 makes there (in runtime/zero/
stage_1_and_2.py and stage3.py), at the sizes that torch gives pinned ones.

    host_bytes(cell, sizes)         # 178e9 for Qwen2.5-7B with ZeRO-2 in bfloat16, one rank, many passes an update

Not counted: what each process holds besides. Pure Python, no torch.
"""

from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.shapes.sizes import Sizes

SUB_GROUP = 1_000_000_000  # elements that ZeRO-3 steps at a time, each with a piece of memory of its own


def host_bytes(cell: Cell, sizes: Sizes) -> int:
    """Bytes a node; 0 without compute.offload."""
    compute, lora = cell.compute, cell.model.lora
    if not compute.offload:
        return 0
    pinned = _power_of_two if compute.device != "cpu" else int  # train/deepspeed.py pins for GPUs alone
    half = 2 if cell.model.dtype == "bfloat16" else 4  # bytes of a number in computation
    matrices = sizes.adapters(lora.rank, lora.targets) if lora else sizes.matrices
    share = -(-sum(matrices) // compute.ranks)
    rank = 8 * share  # Adam's two moments
    shared = 0
    if compute.zero == 3:
        groups = [min(SUB_GROUP, share - first) for first in range(0, share, SUB_GROUP)]
        rank += 4 * share + sum(pinned(4 * size) for size in groups)  # weights in float32, and their gradients
        rank += pinned(half * share)  # gradients as they come, summed
        rank += pinned(half * -(-sizes.parameters // compute.ranks))  # the weights to compute with
    else:
        rank += 2 * pinned(4 * share)  # weights and gradients in float32
        rank += pinned(half * share)  # the weights on their way back
        rank += pinned(half * max(matrices))  # room for one gradient on its way
        if arm(cell).gradient_accumulation_steps > 1:  # sums of gradients, each matrix's in a piece of its own
            shared = sum(pinned(half * size) for size in matrices)
    return (compute.ranks * rank + shared) // compute.nodes


def _power_of_two(size: int) -> int:
    """What torch takes for so many pinned bytes (CachingHostAllocator.h): the next power of two."""
    return 1 << (size - 1).bit_length()
