"""One cell, one directory: runs/<slug>--<cell_id>/ with cell.json, status.json, a lock, and what the cell writes.

    directory = CellDir.create(composed)          # or CellDir(Path("runs/...")) to open one
    with directory.lock(): directory.status(state="running", attempt=1)

status.json is replaced atomically; a directory made by another version is refused, never rewritten.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.config.compose import Composed
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError

FORMAT = 1  # of the directory; readers refuse any other
ATTEMPT = "RLVR_SWEEP_ATTEMPT"  # the number of the attempt, where whoever starts the worker has made its directory
State = Literal["pending", "running", "preempted", "failed", "done"]


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old file or the new one, also after a crash."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _document(composed: Composed) -> dict[str, Any]:
    """What cell.json holds."""
    batch = asdict(composed.batch) | {
        "rollout_size": composed.batch.rollout_size,
        "train_batch": composed.batch.train_batch,
        "optimizer_steps": composed.batch.optimizer_steps,
    }
    return {
        "format": FORMAT,
        "cell_id": composed.cell_id,
        "arm_id": composed.arm_id,
        "slug": composed.slug,
        "overrides": list(composed.overrides),
        "identity": composed.identity,
        "content": composed.hashes,
        "cell": composed.cell.model_dump(mode="json"),
        "batch": batch,
    }


class Locked(UserError):
    """Another process runs this cell."""


class CellDir:
    """A cell's directory on disk. Raises UserError where it is no cell's, or another version's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "cell.json").is_file():
            raise UserError(f"{path}: no cell (it holds no cell.json); write the path of a directory under runs/")
        try:
            self.document: dict[str, Any] = json.loads((path / "cell.json").read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{path}/cell.json: broken JSON ({error}); move the directory away and run again") from None
        if self.document.get("format") != FORMAT:
            raise UserError(
                f"{path}: written in directory format {self.document.get('format')}, this version reads {FORMAT}; "
                "use the version that made it, or give runs=DIR to start afresh"
            )

    @classmethod
    def create(cls, composed: Composed) -> "CellDir":
        """Make (or open) the directory of a composed cell."""
        path = Path(composed.cell.runs) / f"{composed.slug}--{composed.cell_id}"
        try:
            # The slug may differ between two ways of writing one cell; the id may not.
            path = next(Path(composed.cell.runs).glob(f"*--{composed.cell_id}"), path)
            path.mkdir(parents=True, exist_ok=True)
            if not (path / "cell.json").is_file():
                write_atomically(path / "cell.json", json.dumps(_document(composed), indent=1) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{path}: cannot be written ({reason}); write runs=DIR with a folder of yours") from None
        return cls(path)

    def update(self, composed: Composed) -> None:
        """Take over what the new command says of where and how to run (its identity is the same). Under the lock."""
        new = _document(composed) | {"slug": self.document["slug"]}
        if new != self.document:
            write_atomically(self.path / "cell.json", json.dumps(new, indent=1) + "\n")
            self.document = new

    @property
    def cell_id(self) -> str:
        return self.document["cell_id"]

    @property
    def cell(self) -> Cell:
        return Cell.model_validate(self.document["cell"])

    @property
    def is_done(self) -> bool:
        return (self.path / "DONE").is_file()

    def read_status(self) -> dict[str, Any]:
        """status.json, or a pending state where there is none or it is damaged."""
        try:
            return json.loads((self.path / "status.json").read_text())
        except FileNotFoundError:
            return {"state": "pending", "attempt": 0}
        except json.JSONDecodeError:
            return {"state": "failed", "attempt": 0, "reason": "status.json is damaged"}

    def status(self, **changes: Any) -> None:
        """Merge `changes` into status.json."""
        now = time.time()
        stamp = {"updated": now, "host": socket.gethostname(), "job": os.environ.get("SLURM_JOB_ID")}
        status = self.read_status() | stamp | changes
        write_atomically(self.path / "status.json", json.dumps(status, indent=1) + "\n")

    def next_attempt(self) -> int:
        """The number of a new attempt; makes its directory."""
        taken = [int(p.name) for p in (self.path / "attempts").glob("*") if p.name.isdigit()]
        attempt = max(taken, default=0) + 1
        (self.path / "attempts" / str(attempt)).mkdir(parents=True)
        return attempt

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the cell for one attempt; the system frees it when the holder dies."""
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise Locked(f"{self.path}: is being run by {holder}; wait for it, or stop it first") from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield
