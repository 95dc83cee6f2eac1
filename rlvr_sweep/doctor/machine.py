"""What a cell at full size asks of a machine: versions that fit together, GPUs, NCCL, shared memory, network.

    for check in rows(): print(check.name, check.state, check.found, check.remedy)

Nothing heavy is imported; GPUs are asked by nvidia-smi, NCCL in processes of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from rlvr_sweep import devices
from rlvr_sweep.causes import NCCL, cause
from rlvr_sweep.devices import Gpu, Process, users
from rlvr_sweep.sweep.gpus import BUSY, SHM
from rlvr_sweep.versions import INSTALL_VLLM, installed, torch_of, vllm_misfit

COLLECTIVE_S = 180  # an import of torch and the first NCCL start, which looks at every link
GRACE_S = 5  # for the other ranks once one has failed
POLL_S = 0.1
SAID = 40  # lines of what failing processes said
LOW_SHM = 1 << 30  # NCCL and the workers of a grader share memory there; a container's default is 64 MiB

COLLECTIVE = """
import os, torch, torch.distributed as dist
rank, backend = int(os.environ["RANK"]), os.environ["RLVR_SWEEP_PROBE"]
device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
if backend == "nccl":
    if rank >= torch.cuda.device_count():
        raise RuntimeError(f"torch sees {torch.cuda.device_count()} GPUs")
    torch.cuda.set_device(device)
dist.init_process_group(backend)
one = torch.ones(1 << 20, device=device)
dist.all_reduce(one)
assert one[0].item() == dist.get_world_size()
dist.destroy_process_group()
"""


@dataclass(frozen=True)
class Check:
    """One row. `remedy` is empty where nothing needs doing."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def stack(versions: Mapping[str, str | None] | None = None) -> Check:
    """Whether torch, TRL, vLLM and DeepSpeed fit together; `versions` by distribution, else what is installed."""
    have = installed() if versions is None else versions
    shown = ", ".join(f"{name} {version or 'not installed'}" for name, version in have.items())
    if not have["vllm"]:
        return Check("stack", "ok", f"{shown}: rollouts by Hugging Face, slow from 1.5B up; for vLLM: {INSTALL_VLLM}")
    if misfit := vllm_misfit(have):
        return Check("stack", "fail", f"{shown}: {misfit}", INSTALL_VLLM)
    if torch_of(have["vllm"]) is None:
        return Check("stack", "warn", f"{shown}: which torch this vLLM was built for is not known here", INSTALL_VLLM)
    return Check("stack", "ok", f"{shown}: they fit together")


def gpu_row(found: list[Gpu], processes: list[Process]) -> Check:
    """Names, memory, and who is on them."""
    if not found:
        return Check("GPUs", "ok", "none here: cells of the lab run on cores")
    kinds = ", ".join(f"{sum(g.name == name for g in found)} x {name}" for name in dict.fromkeys(g.name for g in found))
    least = min(gpu.total for gpu in found)
    busy = [gpu for gpu in found if gpu.used > BUSY]
    text = f"{kinds}, {least / 1e9:.0f} GB each" if least else kinds
    if not busy:
        return Check("GPUs", "ok", f"{text}, all free")
    said = []
    for gpu in busy:
        said.append(f"{gpu.index}: {gpu.used / 1e9:.0f} GB in use by {users(gpu, processes)}")
    free = ",".join(gpu.index for gpu in found if gpu not in busy)
    remedy = f"export CUDA_VISIBLE_DEVICES={free}" if free else "wait for them, or end those processes"
    return Check("GPUs", "warn", f"{text}; " + "; ".join(said), remedy)


def gpus() -> Check:
    """Of the GPUs that CUDA_VISIBLE_DEVICES names; others are not ours to judge, or to advise. Of slices (MIG), whose
    names are none of theirs, all."""
    found, visible = devices.gpus(), devices.gpus_here()
    named = [gpu for gpu in found if gpu.is_in(visible)]
    return gpu_row((named or found) if visible else [], devices.processes())


def collective(count: int, *, backend: str = "nccl") -> str | None:
    """Let `count` processes add up a number; None, or their last words, ending with those of the first to fail."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    with ExitStack() as files:
        said = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        running = [
            subprocess.Popen(
                [sys.executable, "-c", COLLECTIVE],
                env={"NCCL_DEBUG": "WARN", **os.environ, **meeting, "RANK": str(rank), "RLVR_SWEEP_PROBE": backend},
                stdout=file,  # where NCCL warns
                stderr=file,
            )
            for rank, file in enumerate(said)
        ]
        try:
            failed = _failed(running)
        finally:
            for process in running:
                process.kill()
                process.wait()
        if failed == []:
            return None
        first = failed[0] if failed else 0
        lines = []
        for file in [*said[:first], *said[first + 1 :], said[first]]:
            file.seek(0)
            lines += [line.strip() for line in file if line.strip()]
    if failed is None:
        lines.append(f"no answer within {COLLECTIVE_S} s")
    return "\n".join(lines[-SAID:]) or "no message"


def _failed(running: list[subprocess.Popen[bytes]]) -> list[int] | None:
    """The ranks that failed, the first one first: it leaves the others waiting for it, which get GRACE_S more. None
    where nobody failed and not all have ended in time."""
    end, failed = time.monotonic() + COLLECTIVE_S, []
    while True:
        codes = [process.poll() for process in running]
        fresh = [rank for rank, code in enumerate(codes) if code and rank not in failed]
        if fresh and not failed:
            end = time.monotonic() + GRACE_S
        failed += fresh
        if None not in codes:
            return failed
        if time.monotonic() > end:
            return failed or None
        time.sleep(POLL_S)


def nccl(*, driver: list[Gpu] | None = None) -> Check:
    """Whether the GPUs that this process may use can talk to each other."""
    there = devices.gpus() if driver is None else driver
    visible = devices.gpus_here() if there else ()
    if len(visible) < 2:
        return Check("NCCL", "ok", "not needed: fewer than two GPUs")
    wrong = collective(len(visible))
    if wrong is None:
        return Check("NCCL", "ok", f"{len(visible)} GPUs added up a number")
    telling = [line for line in wrong.splitlines() if "Error" in line][-1:] or wrong.splitlines()[-2:]
    found = f"{len(visible)} GPUs cannot talk to each other: {'; '.join(telling)[:200]}"
    return Check("NCCL", "fail", found, cause(wrong) or NCCL)


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
        remedy = "`python -m rlvr_sweep prefetch` on a node with network, then here export HF_HUB_OFFLINE=1"
        return Check("network", "warn", f"{name} cannot be reached ({reason})", remedy)


def rows() -> list[Callable[[], Check]]:
    """The checks of this file, in the order in which they are shown."""
    return [stack, gpus, nccl, shared_memory, network]
