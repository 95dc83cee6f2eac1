"""What this process may run on, and what the driver says of its GPUs. Asked without torch: whoever only looks must not
hold a CUDA context.

gpus_here()                      # ("0", "3"): what CUDA_VISIBLE_DEVICES may hold
cores_here()                     # 8
memory_here()                    # 137_438_953_472
gpus()                           # all that the driver lists, each with its memory and what is in use of it
with Peak(("0", "3")) as peak:   # then peak.bytes: the most that was in use on one of them
    ...
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PATIENCE_S = 30
POLL_S = 0.5


def cores_here() -> int:
    """The cores this process may run on (a SLURM task or a container has fewer than the machine)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(affinity, int(asked)) if asked.isdigit() else affinity


def memory_here(*, groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory this process may use: the machine's, or fewer by a limit of its control groups (a container's, a
    SLURM task's; `groups` names them, `root` holds them)."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for line in groups.read_text().splitlines() if groups.is_file() else []:
        _, kinds, own = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if kinds else (root, "memory.max")
        group = top / own.lstrip("/")
        files = [folder / name for folder in (group, *group.parents) if folder.is_relative_to(top)]
        said = [file.read_text().strip() for file in files if file.is_file()]
        limits += [int(limit) for limit in said if limit.isdigit()]
    return min(limits)


def gpus_here() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES names, or else all that nvidia-smi lists; in a SLURM job that was given none, none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1", "NoDevFiles"))
    return () if "SLURM_JOB_ID" in os.environ else tuple(gpu.index for gpu in gpus())


def only(gpus: Sequence[str]) -> dict[str, str]:
    """The environment of a process that shall see these GPUs and no others. Numbers are nvidia-smi's, by which we look
    at them; CUDA's own put the fastest first, which on a machine with GPUs of two kinds are others."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver lists it; bytes. `total` is 0 where it does not say (a GPU that shares the machine's)."""

    index: str
    uuid: str
    name: str
    total: int
    used: int

    def is_in(self, visible: Sequence[str]) -> bool:
        """Whether it is one of those that CUDA_VISIBLE_DEVICES names by number or UUID (its beginning does)."""
        return self.index in visible or any(self.uuid.startswith(name) for name in visible if name.startswith("GPU-"))


def gpus() -> list[Gpu]:
    """All that the driver lists, used by this process or not."""
    rows = _smi("--query-gpu=index,uuid,name,memory.total,memory.used")
    return [
        Gpu(index, uuid, name, _bytes(total), _bytes(used))
        for index, uuid, name, total, used in (row for row in rows if len(row) == 5 and row[0].isdigit())
    ]


@dataclass(frozen=True)
class Process:
    """What computes on a GPU; a container sees none of what runs outside of it."""

    uuid: str  # of the GPU
    pid: str
    name: str
    used: int  # bytes; 0 where the driver does not say

    def __str__(self) -> str:
        """As in: python3 (pid 4711, 57 GB)."""
        return f"{Path(self.name).name} (pid {self.pid}{f', {self.used / 1e9:.0f} GB' if self.used else ''})"


def processes() -> list[Process]:
    """All that compute on a GPU of this machine."""
    rows = _smi("--query-compute-apps=gpu_uuid,pid,process_name,used_memory")
    return [Process(uuid, pid, name, _bytes(used)) for uuid, pid, name, used in (row for row in rows if len(row) == 4)]


def users(gpu: Gpu, running: Sequence[Process]) -> str:
    """Who is on a GPU."""
    return ", ".join(str(one) for one in running if one.uuid == gpu.uuid) or "processes that cannot be seen from here"


class Peak:
    """The most bytes that were in use on one of these GPUs (as CUDA_VISIBLE_DEVICES names them), others' included;
    None where there is none, or the driver does not say."""

    def __init__(self, visible: Sequence[str]) -> None:
        self.visible = visible
        self.bytes: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while self.visible:
            if used := max((gpu.used for gpu in gpus() if gpu.is_in(self.visible)), default=0):  # 0: it did not say
                self.bytes = max(self.bytes or 0, used)
            if self._ended.wait(POLL_S):
                return


def _smi(query: str) -> list[list[str]]:
    """The rows that nvidia-smi prints; none without it."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[part.strip() for part in line.split(",")] for line in lines]


def _bytes(mebibytes: str) -> int:
    return int(mebibytes) << 20 if mebibytes.isdigit() else 0
