"""One cell, one directory: runs/<slug>--<cell_id>/ with cell.json, status.json, a lock, and what the cell writes.

    directory = CellDir.create(composed)          # or CellDir(Path("runs/...")) to open one
    with directory.lock(): directory.status(state="running", attempt=1)

status.json is replaced atomically; a directory made by another version is refused, never rewritten. Nothing heavy is
imported here: the status of a thousand cells is read in a second.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.config.schema import Cell

FORMAT = 1  # of the directory; readers refuse any other
State = Literal["pending", "running", "preempted", "failed", "done"]
LOCK_PATIENCE_S = 0.5  # whoever only looks whether a cell is held holds it for microseconds


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A partial file to write; it takes the place of `path` at the end of the block. UserError where it cannot."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old file or the new one, also after a crash."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:  # a full disk: what is half written takes room
        partial.unlink(missing_ok=True)
        raise


def _document(composed: "Composed") -> dict[str, Any]:
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
            self.document: dict[str, Any] = dict(json.loads((path / "cell.json").read_bytes()))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}/cell.json: broken JSON ({error}); move the directory away and run again") from None
        if self.document.get("format") != FORMAT:
            raise UserError(
                f"{path}: written in directory format {self.document.get('format')}, this version reads {FORMAT}; "
                "use the version that made it, or give runs=DIR to start afresh"
            )

    @classmethod
    def create(cls, composed: "Composed") -> "CellDir":
        """Make (or open) the directory of a composed cell."""
        path = Path(composed.cell.runs) / f"{composed.slug}--{composed.cell_id}"
        try:
            # The slug may differ between two ways of writing one cell; the id may not.
            if not path.is_dir():
                path = index(path.parent).get(composed.cell_id, path)
            path.mkdir(parents=True, exist_ok=True)
            if not (path / "cell.json").is_file():
                write_atomically(path / "cell.json", json.dumps(_document(composed), indent=1) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{path}: cannot be written ({reason}); write runs=DIR with a folder of yours") from None
        return cls(path)

    def update(self, composed: "Composed") -> None:
        """Take over what the new command says of where and how to run (its identity is the same). Under the lock."""
        new = _document(composed) | {"slug": self.document["slug"]}
        if new != self.document:
            write_atomically(self.path / "cell.json", json.dumps(new, indent=1) + "\n")
            self.document = new

    @property
    def cell_id(self) -> str:
        return self.document["cell_id"]

    @property
    def cell(self) -> "Cell":
        from pydantic import ValidationError

        from rlvr_sweep.config.schema import Cell

        try:
            return Cell.model_validate(self.document["cell"])
        except (ValidationError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{self.path}/cell.json: not a cell of this version ({reason}); give the command that made it again, "
                "or use the version that made it"
            ) from None

    @property
    def is_done(self) -> bool:
        return (self.path / "DONE").is_file()

    def read_status(self) -> dict[str, Any]:
        return read_status(self.path)

    def status(self, **changes: Any) -> None:
        """Merge `changes` into status.json. One that cannot be read is set aside, not overwritten."""
        stamp = {"updated": time.time(), "host": socket.gethostname()}
        status = self.read_status()
        if status.get("damaged"):
            os.replace(self.path / "status.json", self.path / "status.json.damaged")
            status = {}
        write_atomically(self.path / "status.json", json.dumps(status | stamp | changes, indent=1) + "\n")

    def fail(self, reason: str, *, code: int, failures: int | None = None, **changes: Any) -> None:
        """The end of an attempt that failed; `retry` counts them. `failures`: with this one, by default one more."""
        failures = failures or self.read_status().get("failures", 0) + 1
        self.status(
            state="failed", reason=reason, exit=code, failures=failures, finished=time.time(), phase=None, **changes
        )

    def next_attempt(self) -> int:
        """The number of a new attempt; makes its directory."""
        taken = [int(p.name) for p in (self.path / "attempts").glob("*") if p.name.isdigit()]
        attempt = max(taken, default=0) + 1
        (self.path / "attempts" / str(attempt)).mkdir(parents=True)
        return attempt

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the cell for one attempt; the system frees it when the holder dies. Raises Locked."""
        with (self.path / "lock").open("a+") as file:
            if not _flock(file.fileno(), fcntl.LOCK_EX, LOCK_PATIENCE_S):
                file.seek(0)
                who = file.read().strip() or "another process"
                raise Locked(f"{self.path}: is being run by {who}; wait for it, or stop it first")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield


def _flock(number: int, kind: int, patience_s: float) -> bool:
    """Whether the lock was had within `patience_s`."""
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(number, kind | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError(
                    f"this file system has no locks ({error.strerror}), and without them one cell may run twice; "
                    "write runs=DIR on one that has (Lustre: mounted with flock)"
                ) from None
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)


def holder(path: Path) -> str | None:
    """Who holds the cell in `path` ("process 12 on node1"), or None; only looks."""
    try:
        with (path / "lock").open() as file:
            if _flock(file.fileno(), fcntl.LOCK_SH, 0):
                return None
            return file.read().strip() or "another process"
    except FileNotFoundError:
        return None


def read_status(path: Path) -> dict[str, Any]:
    """The status.json of a cell's directory: pending where there is none; one that is damaged says so."""
    try:
        status = json.loads((path / "status.json").read_bytes())
        if isinstance(status, dict) and "state" in status:
            return status
    except FileNotFoundError:
        return {"state": "pending", "attempt": 0}
    except ValueError:  # also bytes that are no UTF-8
        pass
    return {"state": "pending", "attempt": 0, "reason": "status.json is damaged", "damaged": True}


def index(runs: Path) -> dict[str, Path]:
    """The directory of each cell under `runs`, by cell_id."""
    try:
        names = os.listdir(runs)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{runs}: cannot be read ({error.strerror}); write the folder where cells lie") from None
    return {name.rpartition("--")[2]: runs / name for name in sorted(names) if "--" in name}
