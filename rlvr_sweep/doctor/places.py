"""What a cell reads and writes beyond its own folder: the disk, the Hub's cache, W&B, and how many threads it takes.

    disk(Path("runs")); hub(); wandb(); threads()

No check shows a secret: only where it lies.
"""

import netrc
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from rlvr_sweep.doctor.install import last_line
from rlvr_sweep.doctor.machine import Check
from rlvr_sweep.source import is_checkout

FULL_GIB, LOW_GIB = 1, 20  # free space: a lab cell needs megabytes, a 7B checkpoint with its optimizer about 99 GiB


def disk(runs: Path) -> Check:
    """Whether `runs`, or the folder it will be made in, can be written to and has room."""
    place = runs.absolute()
    try:
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x")
    except OSError as error:
        return Check("runs", "fail", f"{place}: {error.strerror}", "choose a folder that can be written to: runs=DIR")
    free = shutil.disk_usage(place).free / 2**30
    found = f"{runs.absolute()}, {free:.0f} GiB free"
    if free < FULL_GIB:
        return Check("runs", "fail", found, "make room, or choose another disk: runs=DIR")
    if free < LOW_GIB:
        more = "a 7B checkpoint with its optimizer takes about 99 GiB (ZeRO-2), two at once while one is written"
        return Check("runs", "warn", found, f"enough for the lab; {more}")
    return Check("runs", "ok", found)


def hub() -> Check:
    """The Hugging Face cache, offline mode, and whether there is a token (for gated models; never printed)."""
    try:
        from huggingface_hub import constants, get_token
    except ImportError as error:
        return Check("hub", "fail", str(error), "make setup" if is_checkout() else "pip install huggingface-hub")
    cache = Path(constants.HF_HUB_CACHE)
    try:
        held = [p.name for p in cache.iterdir()] if cache.is_dir() else []
    except OSError as error:
        return Check(
            "hub", "fail", f"{cache}: {error.strerror}", "export HF_HOME= a folder that can be read and written"
        )
    models, sets = (sum(name.startswith(kind) for name in held) for kind in ("models--", "datasets--"))
    token = "a token" if get_token() else "no token"
    mode = "offline" if constants.HF_HUB_OFFLINE else "online"
    found = f"{mode}, {token}, {models} models and {sets} datasets in {cache}"
    if constants.HF_HUB_OFFLINE and not models + sets:
        remedy = "fine for the lab and local files; else, on a node with network: python -m rlvr_sweep prefetch"
        return Check("hub", "warn", found, remedy)
    return Check("hub", "ok", found)


def _wandb_key() -> str | None:
    """Where a W&B key is, never the key itself; None without one. NetrcParseError, OSError: an unreadable netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not path.is_file():
        return None
    own = urlparse(os.environ.get("WANDB_BASE_URL", "")).hostname
    hosts = netrc.netrc(str(path)).hosts
    return str(path) if any(h == own or "wandb" in h or h.endswith("coreweave.com") for h in hosts) else None


def wandb() -> Check:
    """The W&B mirror: mode and whether a key is there. Local files are the record, so nothing here can fail a cell."""
    mode = os.environ.get("WANDB_MODE", "")
    try:
        key = _wandb_key()
    except (netrc.NetrcParseError, OSError) as error:
        return Check(
            "W&B",
            "warn",
            f"netrc cannot be read: {last_line(str(error)).split(',')[0]}",
            "mend it, or export WANDB_API_KEY",
        )
    said = f"WANDB_MODE={mode}, " if mode else ""
    if key is None and mode == "online":
        return Check("W&B", "warn", f"{said}no key", "export WANDB_API_KEY=..., or: wandb login")
    if key is None:
        return Check(
            "W&B", "ok", f"{said}no key: runs are kept on disk (tracking=offline), wandb sync uploads them later"
        )
    return Check("W&B", "ok", f"{said}key in {key}; tracking=online mirrors runs as they go")


def threads() -> Check:
    """OMP_NUM_THREADS: cells side by side fight for cores when each takes them all."""
    said, cores = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1
    if said is None:
        return Check(
            "threads",
            "ok",
            f"OMP_NUM_THREADS is not set: a cell takes 1 of {cores} cores (more: compute.threads, compute.offload)",
        )
    if not said.isdigit() or int(said) == 0:
        return Check("threads", "fail", f"OMP_NUM_THREADS={said!r} is no number of threads", "export OMP_NUM_THREADS=1")
    if int(said) > cores:
        return Check("threads", "warn", f"OMP_NUM_THREADS={said} on {cores} cores", "export OMP_NUM_THREADS=1")
    return Check("threads", "ok", f"OMP_NUM_THREADS={said} of {cores} cores")
