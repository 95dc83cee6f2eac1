"""What a cell is doing, read from its directory alone: no daemon keeps it, nothing has to be alive to say it.

    states(["3f2a9c01b7de"], runs=Path("runs"))[0].state
    # new, pending, queued, running, lost, preempted, failed or done

Done is what holds the file DONE. A cell that says it runs but that no process holds is lost: its process was killed, or
its node is gone. A pending cell that a live SLURM task will run is queued (see queue.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.cell_dir import holder, index, read_status
from rlvr_sweep.errors import UserError

Name = Literal["new", "pending", "queued", "running", "lost", "preempted", "failed", "done"]
WRITTEN = ("pending", "running", "preempted", "failed", "done")  # in status.json; the others are computed
TO_RUN: tuple[Name, ...] = ("new", "pending", "preempted", "lost")  # what a launch takes; failed ones are for `retry`


@dataclass(frozen=True)
class CellState:
    """A cell and where it stands. `path` is None for a cell that has no directory yet."""

    cell_id: str
    path: Path | None
    state: Name
    status: dict[str, Any]
    note: str | None = None  # what SLURM says of it, where that is more than its own record

    @property
    def failures(self) -> int:
        """Attempts that ended in a failure of the cell's own."""
        return self.status.get("failures", 0)

    @property
    def reason(self) -> str | None:
        """Why it failed, stopped, waits or is lost: one line."""
        if self.note:
            return self.note
        if self.state == "lost":
            job = f", job {self.status['job']}" if self.status.get("job") else ""
            return f"its process is gone (process {self.status.get('pid')} on {self.status.get('host')}{job})"
        lines = str(self.status.get("reason") or "").strip().splitlines()
        return lines[0] if lines else None


def read(path: Path) -> CellState:
    """The state of the cell in `path`. UserError where it may not be read."""
    cell_id = path.name.rpartition("--")[2]
    try:
        held = holder(path) is not None  # before its status: one that ends in between has written its last by then
        status = read_status(path)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror})") from None
    said = status["state"]
    if (path / "DONE").is_file():
        return CellState(cell_id, path, "done", status)
    if held or (said == "running" and holder(path) is not None):  # or it began in between
        return CellState(cell_id, path, "running", status)
    if said in ("running", "done"):  # done without DONE: killed between the two, or its record was tampered with
        return CellState(cell_id, path, "lost", status)
    if said not in WRITTEN:
        return CellState(cell_id, path, "pending", status | {"reason": "status.json is damaged", "damaged": True})
    return CellState(cell_id, path, said, status)


def states(cell_ids: Iterable[str], runs: Path) -> list[CellState]:
    """The states of cells, in the order asked for."""
    there = index(runs)
    return [read(there[i]) if i in there else CellState(i, None, "new", {}) for i in cell_ids]


def with_queue(found: list[CellState]) -> list[CellState]:
    """The same states, completed by what SLURM says (queue.py). It is asked only where it was given a cell."""
    if not any(state.status.get("job") and state.state not in ("done", "new") for state in found):
        return found
    from rlvr_sweep.sweep.queue import completed

    return completed(found)


def is_taken(state: CellState, *, retry: bool, max_failures: int) -> bool:
    """Whether a launch of several cells starts this one; with `retry` also one that failed, if not too often."""
    if state.state == "failed":
        return retry and state.failures < max_failures
    return state.state in TO_RUN


def taken(found: list[CellState], *, retry: bool, max_failures: int, multirun: bool) -> list[CellState]:
    """What a launch starts. Whoever starts one failed cell by hand means it."""
    if not multirun and found[0].state == "failed":
        return found
    return [state for state in found if is_taken(state, retry=retry, max_failures=max_failures)]
