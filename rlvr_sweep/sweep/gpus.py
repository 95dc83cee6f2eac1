"""What keeps a cell from starting on the GPUs of this machine: a number that is not there, other people's processes,
too little shared memory. All of it is said before the start, in one line.

    check(("0", "1"), ranks=2)                  # UserError
    check_free("qwen2.5_7b", 110e9, ("0",))     # UserError, naming who holds the memory
"""

import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from rlvr_sweep import devices
from rlvr_sweep.devices import Gpu, Process, users
from rlvr_sweep.errors import UserError

BUSY = 1 << 30  # bytes in use that are no driver's own
SHM = Path("/dev/shm")
# NCCL keeps several segments of 6 to 10 MB in /dev/shm for each rank; a container's default of 64 MiB ends with "failed
# to extend /dev/shm/nccl-..." (NVIDIA/nccl issues 290 and 342).
SHM_A_RANK = 33_000_000


@lru_cache(maxsize=1)
def at_first() -> tuple[list[Gpu], list[Process]]:
    """GPUs and processes when this process first looked, before it started anything: its own cells must not count."""
    return devices.gpus(), devices.processes()


def smallest(visible: Sequence[str]) -> int | None:
    """The memory of the smallest of these GPUs (as CUDA_VISIBLE_DEVICES names them); None where it is not known."""
    return min((gpu.total for gpu in _known(devices.gpus(), visible)), default=None)


def least_free(visible: Sequence[str]) -> int | None:
    """What other processes had left of the fullest of these GPUs when this process first looked."""
    return min((gpu.total - gpu.used for gpu in _known(at_first()[0], visible)), default=None)


def _known(found: Sequence[Gpu], visible: Sequence[str]) -> list[Gpu]:
    return [gpu for gpu in found if gpu.is_in(visible) and gpu.total]


def check(visible: Sequence[str], *, ranks: int) -> None:
    """UserError where CUDA_VISIBLE_DEVICES names a GPU that is not there or one twice, or where `ranks` processes have
    too little shared memory to talk through."""
    named_here = [name for name in visible if name.isdigit() or name.startswith("GPU-")]  # not those of MIG
    if len(set(visible)) < len(visible):
        named, once = ",".join(visible), ",".join(dict.fromkeys(visible))
        raise UserError(f"CUDA_VISIBLE_DEVICES={named}: names a GPU twice; export CUDA_VISIBLE_DEVICES={once}")
    there = at_first()[0] if named_here else []
    if there and (absent := [name for name in named_here if not any(gpu.is_in([name]) for gpu in there)]):
        last = f"GPUs 0 to {len(there) - 1}" if len(there) > 1 else "GPU 0"
        raise UserError(
            f"CUDA_VISIBLE_DEVICES={','.join(visible)}: there is no GPU {', '.join(absent)}; this machine has {last}; "
            "unset CUDA_VISIBLE_DEVICES, or name those"
        )
    check_shared_memory(ranks)


def check_shared_memory(ranks: int, folder: Path = SHM) -> None:
    """UserError where NCCL would fail for want of shared memory."""
    if ranks < 2 or not folder.is_dir() or os.environ.get("NCCL_SHM_DISABLE") == "1":
        return
    free, wanted = shutil.disk_usage(folder).free, ranks * SHM_A_RANK
    if free < wanted:
        raise UserError(
            f"{folder}: {free / 1e6:.0f} MB free, NCCL takes about {wanted / 1e6:.0f} for {ranks} ranks; start the "
            "container with --ipc=host or --shm-size=16g, remove what lies there, or export NCCL_SHM_DISABLE=1 (slower)"
        )


def check_free(
    model: str, wanted: float, visible: Sequence[str], *, ranks: int = 1, frugal: float | None = None
) -> None:
    """UserError where other processes leave too little of a GPU for a cell that takes `wanted` bytes of each of
    `ranks`; `frugal` with all activations computed anew, where that is a choice."""
    there, running = at_first()
    ours = _known(there, visible)
    busy = [gpu for gpu in ours if gpu.used > BUSY and gpu.total - gpu.used < wanted]
    if not busy:
        return
    who = "; ".join(f"GPU {gpu.index}: {gpu.used / 1e9:.0f} GB in use by {users(gpu, running)}" for gpu in busy)
    free = [gpu.index for gpu in ours if gpu not in busy]
    leave = f", or leave it out: export CUDA_VISIBLE_DEVICES={','.join(free)}" if len(free) >= ranks else ""
    if frugal is not None and all(gpu.total - gpu.used >= frugal for gpu in busy):
        leave += f", or write compute.gradient_checkpointing=true (about {frugal / 1e9:,.0f} GB)"
    raise UserError(
        f"{who}; {model} takes about {wanted / 1e9:,.0f} GB of {busy[0].total / 1e9:,.0f}; wait for that{leave}; "
        "compute.check_memory=false tries it all the same"
    )
