"""What a cell at full size asks of a machine: versions that fit together, GPUs, NCCL, shared memory, network.

    for check in rows(): print(check.name, check.state, check.found, check.remedy)

Rows of `rlvr-sweep doctor`. Nothing heavy is imported; GPUs are asked by nvidia-smi, NCCL in processes of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from rlvr_sweep.sweep.slots import gpus_here
from rlvr_sweep.versions import INSTALL_VLLM, TRL_VLLM, VLLM_TORCH

PATIENCE_S = 30
COLLECTIVE_S = 180  # an import of torch and the first NCCL start, which looks at every link
SHM = Path("/dev/shm")
LOW_SHM = 1 << 30  # NCCL and the workers of a grader share memory there; a container's default is 64 MiB
BUSY = 1 << 30  # bytes in use that are no driver's own

COLLECTIVE = """
import os, torch, torch.distributed as dist
rank, backend = int(os.environ["RANK"]), os.environ["RLVR_SWEEP_PROBE"]
device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
if backend == "nccl":
    torch.cuda.set_device(device)
dist.init_process_group(backend)
one = torch.ones(1 << 20, device=device)
dist.all_reduce(one)
assert one[0].item() == dist.get_world_size()
dist.destroy_process_group()
"""
NCCL_CAUSES = (
    "the usual causes: NCCL_SOCKET_IFNAME names no interface, /dev/shm too small, a container without --ipc=host, "
    "other processes on the GPUs; NCCL_DEBUG=INFO says more"
)


@dataclass(frozen=True)
class Check:
    """One row. `remedy` is empty where nothing needs doing."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver sees it; bytes. `used` counts other people's processes, ours are not there yet."""

    index: str
    uuid: str
    name: str
    total: int
    used: int


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def stack(versions: Mapping[str, str | None] | None = None) -> Check:
    """Whether torch, TRL, vLLM and DeepSpeed fit together; `versions` by distribution, else what is installed."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    names = ("torch", "trl", "vllm", "deepspeed")
    have = {name: _version(name) for name in names} if versions is None else versions
    shown = ", ".join(f"{name} {have.get(name) or 'not installed'}" for name in names)
    vllm, torch = have.get("vllm"), have.get("torch")
    if not vllm:
        return Check("stack", "ok", f"{shown}: rollouts by Hugging Face, slow from 1.5B up; for vLLM: {INSTALL_VLLM}")
    if not SpecifierSet(TRL_VLLM).contains(vllm, prereleases=True):
        return Check("stack", "fail", f"{shown}: TRL {have.get('trl')} takes vLLM {TRL_VLLM}", INSTALL_VLLM)
    wanted = next(
        (built for (low, high), built in VLLM_TORCH.items() if Version(low) <= Version(vllm) < Version(high)), None
    )
    if wanted is None:
        return Check("stack", "warn", f"{shown}: which torch this vLLM was built for is not known here", INSTALL_VLLM)
    if torch is None or Version(torch).release[:2] != Version(wanted).release:
        return Check("stack", "fail", f"{shown}: vLLM {vllm} is built for torch {wanted}", INSTALL_VLLM)
    return Check("stack", "ok", f"{shown}: they fit together")


def _smi(*arguments: str) -> list[list[str]]:
    """The rows that nvidia-smi prints; none without it."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[part.strip() for part in line.split(",")] for line in lines]


def gpus() -> list[Gpu]:
    """All that the driver lists, used by this process or not."""
    rows = _smi("--query-gpu=index,uuid,name,memory.total,memory.used")
    sound = [row for row in rows if len(row) == 5 and row[3].isdigit() and row[4].isdigit()]
    return [Gpu(index, uuid, name, int(total) << 20, int(used) << 20) for index, uuid, name, total, used in sound]


def gpu_row(found: list[Gpu], processes: list[list[str]]) -> Check:
    """Names, memory, and who is on them; `processes` are nvidia-smi's (uuid, pid, name, MiB)."""
    if not found:
        return Check("GPUs", "ok", "none here: cells of the lab run on cores")
    kinds = ", ".join(f"{sum(g.name == name for g in found)} x {name}" for name in dict.fromkeys(g.name for g in found))
    least = min(gpu.total for gpu in found)
    busy = [gpu for gpu in found if gpu.used > BUSY]
    text = f"{kinds}, {least / 1e9:.0f} GB each"
    if not busy:
        return Check("GPUs", "ok", f"{text}, all free")
    said = []
    for gpu in busy:
        on_it = [f"{Path(row[2]).name} ({row[1]})" for row in processes if len(row) >= 3 and row[0] == gpu.uuid]
        said.append(f"{gpu.index}: {gpu.used / 1e9:.0f} GB in use" + (f" by {', '.join(on_it)}" if on_it else ""))
    free = ",".join(gpu.index for gpu in found if gpu not in busy)
    remedy = f"export CUDA_VISIBLE_DEVICES={free}" if free else "wait for them, or end those processes"
    return Check("GPUs", "warn", f"{text}; " + "; ".join(said), remedy)


def _gpus() -> Check:
    return gpu_row(gpus(), _smi("--query-compute-apps=gpu_uuid,pid,process_name,used_memory"))


def collective(count: int, *, backend: str = "nccl") -> str | None:
    """Let `count` processes add up a number; what went wrong, or None."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    with tempfile.TemporaryFile("w+") as errors:
        running = [
            subprocess.Popen(
                [sys.executable, "-c", COLLECTIVE],
                env={**os.environ, **meeting, "RANK": str(rank), "RLVR_SWEEP_PROBE": backend},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            for rank in range(count)
        ]
        try:
            codes = [process.wait(COLLECTIVE_S) for process in running]
        except subprocess.TimeoutExpired:
            return f"no answer within {COLLECTIVE_S} s"
        finally:
            for process in running:
                process.kill()
                process.wait()
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    if not any(codes):
        return None
    telling = [line for line in lines if "Error" in line]
    return (telling or lines or ["no message"])[-1][:200]


def nccl(*, driver: list[Gpu] | None = None) -> Check:
    """Whether the GPUs that this process may use can talk to each other."""
    there = gpus() if driver is None else driver
    visible = gpus_here() if there else ()
    if len(visible) < 2:
        return Check("NCCL", "ok", "not needed: fewer than two GPUs")
    wrong = collective(len(visible))
    if wrong is None:
        return Check("NCCL", "ok", f"{len(visible)} GPUs added up a number")
    return Check("NCCL", "fail", f"{len(visible)} GPUs cannot talk to each other: {wrong}", NCCL_CAUSES)


def shared_memory(folder: Path = SHM, *, low: int = LOW_SHM) -> Check:
    """The size of /dev/shm."""
    if not folder.is_dir():
        return Check("shm", "ok", f"no {folder} on this system")
    size = shutil.disk_usage(folder)
    found = f"{folder}: {size.free / 1e9:.1f} of {size.total / 1e9:.1f} GB free"
    if size.free < low:
        remedy = "too small for NCCL and vLLM: docker run --ipc=host (or --shm-size=16g); else remove what lies there"
        return Check("shm", "warn", found, remedy)
    return Check("shm", "ok", found)


def network(*, timeout_s: float = 3.0) -> Check:
    """Whether the Hub, or the proxy on the way, can be reached; not asked in offline mode."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return Check("network", "ok", "not asked: HF_HUB_OFFLINE is set")
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    where = urlparse(proxy or hub)
    port = where.port or (80 if where.scheme == "http" else 443)
    name = f"{where.hostname}:{port}" + (" (the proxy)" if proxy else "")
    try:
        with socket.create_connection((where.hostname or "", port), timeout=timeout_s):
            return Check("network", "ok", f"{name} answers")
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "rlvr-sweep prefetch on a node with network, then here export HF_HUB_OFFLINE=1"
        return Check("network", "warn", f"{name} cannot be reached ({reason})", remedy)


def rows() -> list[Callable[[], Check]]:
    """The checks of this file, in the order in which they are shown."""
    return [stack, _gpus, nccl, shared_memory, network]
