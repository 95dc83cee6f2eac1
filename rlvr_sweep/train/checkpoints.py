"""Checkpoints that are complete or ignored.

    newest(cell_dir / "checkpoints", ranks=1) -> Path | None

A checkpoint counts once its COMPLETE file is there, written last, after every rank is done; it lists what must be there
and how large. An incomplete one (a kill, a full disk) is removed at the next start. The one before is removed only
after a new one is complete. TRL keeps the current rollout in memory and does not save it; we do, so that a resume in
its middle is exact.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError

COMPLETE = "COMPLETE"


def _files(checkpoint: Path) -> dict[str, int]:
    return {
        str(p.relative_to(checkpoint)): p.stat().st_size
        for p in sorted(checkpoint.rglob("*"))
        if p.is_file() and p.name != COMPLETE
    }


def complete(checkpoint: Path, *, ranks: int) -> None:
    """Mark a checkpoint complete and remove the older ones."""
    for name in _files(checkpoint):  # what is listed must be on the disk before the list is
        with (checkpoint / name).open("rb") as file:
            os.fsync(file.fileno())
    partial = checkpoint / f".{COMPLETE}.tmp"
    partial.write_text(json.dumps({"ranks": ranks, "files": _files(checkpoint)}))
    os.replace(partial, checkpoint / COMPLETE)
    for other in checkpoint.parent.glob("checkpoint-*"):
        if other != checkpoint and step_of(other) < step_of(checkpoint):
            shutil.rmtree(other)


def step_of(checkpoint: Path) -> int:
    """The optimizer step a checkpoint was written after."""
    return int(checkpoint.name.split("-")[1])


def _is_complete(checkpoint: Path) -> bool:
    marker = checkpoint / COMPLETE
    if not marker.is_file():
        return False
    try:
        expected: dict[str, Any] = json.loads(marker.read_text())["files"]
    except (json.JSONDecodeError, KeyError):
        return False
    return all((checkpoint / f).is_file() and (checkpoint / f).stat().st_size == size for f, size in expected.items())


def newest(folder: Path, *, ranks: int) -> Path | None:
    """The newest complete checkpoint; raises UserError if it was written by another number of ranks."""
    found = sorted(folder.glob("checkpoint-*"), key=step_of)
    for checkpoint in reversed(found):
        if not _is_complete(checkpoint):
            continue
        written_by = json.loads((checkpoint / COMPLETE).read_text())["ranks"]
        if written_by != ranks:
            raise UserError(
                f"{checkpoint}: written by {written_by} ranks, cannot be resumed by {ranks}; "
                f"write compute.ranks={written_by}"
            )
        return checkpoint
    return None


def discard_incomplete(folder: Path) -> list[str]:
    """Remove what a kill or a full disk left half written; their names."""
    broken = [c for c in sorted(folder.glob("checkpoint-*")) if not _is_complete(c)]
    for checkpoint in broken:
        shutil.rmtree(checkpoint)
    return [c.name for c in broken]
