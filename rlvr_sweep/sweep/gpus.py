"""The GPUs of this machine as the driver sees them, and what keeps a cell from starting on them: a number that is not
there, other people's processes, too little shared memory. All of it is said before the start, in one line.

    check(("0", "1"), ranks=2)                  # UserError
    check_free("qwen2.5_7b", 110e9, ("0",))     # UserError, naming who holds the memory

Asked by nvidia-smi, so that a process that only waits for others holds no CUDA context.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rlvr_sweep.errors import UserError

PATIENCE_S = 30
BUSY = 1 << 30  # bytes in use that are no driver's own
SHM = Path("/dev/shm")
# NCCL keeps several segments of 6 to 10 MB in /dev/shm for each rank; a container's default of 64 MiB ends with "failed
# to extend /dev/shm/nccl-..." (NVIDIA/nccl issues 290 and 342).
SHM_A_RANK = 33_000_000


@dataclass(frozen=True)
class Gpu:
    """A GPU; bytes. `used` counts other people's processes, ours are not there yet."""

    index: str
    uuid: str
    name: str
    total: int
    used: int


def smi(*arguments: str) -> list[list[str]]:
    """The rows that nvidia-smi prints; none without it."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", *arguments, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[part.strip() for part in line.split(",")] for line in lines]


def gpus() -> list[Gpu]:
    """All that the driver lists, used by this process or not."""
    rows = smi("--query-gpu=index,uuid,name,memory.total,memory.used")
    sound = [row for row in rows if len(row) == 5 and row[3].isdigit() and row[4].isdigit()]
    return [Gpu(index, uuid, name, int(total) << 20, int(used) << 20) for index, uuid, name, total, used in sound]


def processes() -> list[list[str]]:
    """(GPU's uuid, pid, name, MiB) of what computes on them; a container sees none of what runs outside of it."""
    return smi("--query-compute-apps=gpu_uuid,pid,process_name,used_memory")


def users(gpu: Gpu, running: list[list[str]]) -> str:
    """Who is on a GPU: "python3 (pid 4711, 57 GB)"."""
    said = []
    for row in running:
        if len(row) == 4 and row[0] == gpu.uuid:
            size = f", {(int(row[3]) << 20) / 1e9:.0f} GB" if row[3].isdigit() else ""
            said.append(f"{Path(row[2]).name} (pid {row[1]}{size})")
    return ", ".join(said) or "processes that cannot be seen from here"


@lru_cache(maxsize=1)
def at_first() -> tuple[list[Gpu], list[list[str]]]:
    """GPUs and processes when this process first looked, before it started anything: its own cells must not count."""
    return gpus(), processes()


def check(visible: Sequence[str], *, ranks: int) -> None:
    """UserError where CUDA_VISIBLE_DEVICES names a GPU that is not there or one twice, or where `ranks` processes have
    too little shared memory to talk through."""
    numbers = [name for name in visible if name.isdigit()]
    if len(set(visible)) < len(visible):
        named, once = ",".join(visible), ",".join(dict.fromkeys(visible))
        raise UserError(f"CUDA_VISIBLE_DEVICES={named}: names a GPU twice; export CUDA_VISIBLE_DEVICES={once}")
    there = at_first()[0] if numbers else []
    if there and (absent := [name for name in numbers if int(name) >= len(there)]):
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


def check_free(model: str, wanted: float, visible: Sequence[str]) -> None:
    """UserError where other processes leave too little of a GPU for a cell that takes `wanted` bytes."""
    there, running = at_first()
    ours = [gpu for gpu in there if gpu.index in visible or gpu.uuid in visible]
    busy = [gpu for gpu in ours if gpu.used > BUSY and gpu.total - gpu.used < wanted]
    if not busy:
        return
    who = "; ".join(f"GPU {gpu.index}: {gpu.used / 1e9:.0f} GB in use by {users(gpu, running)}" for gpu in busy)
    free = ",".join(gpu.index for gpu in ours if gpu not in busy)
    leave = f", or leave it out: export CUDA_VISIBLE_DEVICES={free}" if free else ""
    raise UserError(
        f"{who}; {model} takes about {wanted / 1e9:,.0f} GB of {busy[0].total / 1e9:,.0f}; wait for that{leave}; "
        "compute.check_memory=false tries it all the same"
    )
