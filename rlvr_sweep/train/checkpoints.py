"""Checkpoints that are complete or ignored.

    newest(cell_dir / "checkpoints", ranks=1) -> Path | None

A checkpoint counts once its COMPLETE file is there, written last, after every rank is done; it lists what must be
there, how large, and of what is small also the hash. One without that file (a kill, a full disk) is removed at the next
start; one that is not as its list says is set aside. The one before is removed only after a new one is complete. TRL
keeps the current rollout in memory and does not save it; we do, so that a resume in its middle is exact.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError

COMPLETE = "COMPLETE"
HASHED_BYTES = 64 << 20  # of a larger file only the size is checked: hashing a 7B model's optimizer takes minutes


def _entry(file: Path) -> list[Any]:
    """Size and hash of a file, as COMPLETE lists it."""
    size = file.stat().st_size
    return [size, hashlib.sha256(file.read_bytes()).hexdigest() if size <= HASHED_BYTES else None]


def _files(checkpoint: Path) -> dict[str, list[Any]]:
    return {
        str(p.relative_to(checkpoint)): _entry(p)
        for p in sorted(checkpoint.rglob("*"))
        if p.is_file() and p.name != COMPLETE
    }


def complete(checkpoint: Path, *, ranks: int) -> None:
    """Mark a checkpoint complete and remove the older ones."""
    files = _files(checkpoint)
    for name in files:  # what is listed must be on the disk before the list is
        with (checkpoint / name).open("rb") as file:
            os.fsync(file.fileno())
    partial = checkpoint / f".{COMPLETE}.tmp"
    partial.write_text(json.dumps({"ranks": ranks, "files": files}))
    os.replace(partial, checkpoint / COMPLETE)
    for other in checkpoint.parent.glob("checkpoint-*"):
        if other != checkpoint and step_of(other) < step_of(checkpoint):
            (other / COMPLETE).unlink(missing_ok=True)  # first: what a kill leaves of it is half, not damaged
            shutil.rmtree(other)


def step_of(checkpoint: Path) -> int:
    """The optimizer step a checkpoint was written after."""
    return int(checkpoint.name.split("-")[1])


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint that says it is complete; None: nothing."""
    try:
        listed = json.loads((checkpoint / COMPLETE).read_text())["files"]
    except (ValueError, KeyError, TypeError):
        return f"{COMPLETE} cannot be read"
    for name, (size, digest) in listed.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} of {size} bytes"
        if digest is not None and _entry(file)[1] != digest:
            return f"{name} has changed since it was written"
    return None


def sharding(checkpoint: Path) -> str:
    """How a checkpoint's optimizer is kept, by the values of compute.zero that can read it: "0", "1 or 2", "3"."""
    if not any(checkpoint.glob("global_step*")):
        return "0"
    return "3" if any(checkpoint.glob("global_step*/zero_pp_rank_*_model_states.pt")) else "1 or 2"


def newest(folder: Path, *, ranks: int, zero: int | None = None) -> Path | None:
    """The newest sound checkpoint; raises UserError if it was written by another number of ranks, or with another
    sharding than that of `zero`: TRL would go on with a fresh optimizer, and say nothing."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if not (checkpoint / COMPLETE).is_file() or _damage(checkpoint):
            continue
        written_by = json.loads((checkpoint / COMPLETE).read_text())["ranks"]
        if written_by != ranks:
            raise UserError(
                f"{checkpoint}: written by {written_by} ranks, cannot be resumed by {ranks}: the optimizer's state and "
                f"the random numbers are a rank's own; write compute.ranks={written_by}"
            )
        if zero is not None and str(zero) not in (wanted := sharding(checkpoint)):
            raise UserError(
                f"{checkpoint}: written with compute.zero={wanted}, cannot be resumed with {zero}: the optimizer's "
                f"state is cut otherwise; write compute.zero={wanted}"
            )
        return checkpoint
    return None


def discard_incomplete(folder: Path) -> None:
    """Remove what a kill or a full disk left half written."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / COMPLETE).is_file():
            shutil.rmtree(checkpoint)


def set_damaged_aside(folder: Path) -> list[str]:
    """Rename the checkpoints that are not as they were written; a line for each."""
    said = []
    for checkpoint in sorted(folder.glob("checkpoint-*")):
        if (checkpoint / COMPLETE).is_file() and (damage := _damage(checkpoint)):
            aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
            if aside.exists():
                shutil.rmtree(aside)
            checkpoint.rename(aside)
            said.append(f"{checkpoint}: damaged ({damage}); set aside as {aside.name}")
    return said
