"""`cancel`: take a sweep's cells off SLURM's queue, and let those that run write a checkpoint and stop.

python -m rlvr_sweep cancel SWEEP|CELL ...

Nothing is lost: the sweep's own command goes on from there.
"""

import argparse
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser

if TYPE_CHECKING:
    from rlvr_sweep.sweep.state import CellState


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m rlvr_sweep cancel", description="Stop cells, queued or running.")
    parser.add_argument("cells", nargs="+", metavar="SWEEP|CELL", help="a sweep's name; a cell's path, id or name")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Exit code 0; UserError where SLURM cannot be asked though a cell is its."""
    args = _parser().parse_args(argv)
    from rlvr_sweep.find import find_all
    from rlvr_sweep.sweep.queue import Unknown, cancel, completed
    from rlvr_sweep.sweep.state import read

    paths, _ = find_all(args.cells, args.runs)
    live = _live(completed([read(path) for path in paths]))
    under_slurm = [s for s in live if s.status.get("job")]
    if under_slurm:
        jobs = {s.status["job"] for s in under_slurm}
        mates = _mates(jobs, under_slurm)
        try:
            cancel(jobs)
        except Unknown as error:
            raise UserError(f"{error}; run cancel on a login node of the cluster") from None
        count = len(under_slurm) + len(mates)
        print(f"cancelled {len(jobs)} SLURM task{'s' * (len(jobs) != 1)} with {count} cell{'s' * (count != 1)}")
        for mate in mates:
            print(f"{mate.cell_id}: shared a task with one of them and stops too; its sweep's command goes on with it")
    for state in live:
        if not state.status.get("job"):
            print(_stop_here(state))
    if not live:
        print(f"nothing to cancel: none of {len(paths)} cells is queued or runs")
    return 0


def _live(found: "Sequence[CellState]") -> "list[CellState]":
    return [s for s in found if s.state in ("queued", "running")]


def _mates(jobs: set[str], chosen: "Sequence[CellState]") -> "list[CellState]":
    """The other cells that SLURM tasks will run or do: small ones share a task (cluster.pack)."""
    from rlvr_sweep.cell_dir import index
    from rlvr_sweep.sweep.queue import completed
    from rlvr_sweep.sweep.state import read

    ids = {s.cell_id for s in chosen}
    folders = {s.path.parent for s in chosen if s.path is not None}
    beside = [read(path) for runs in folders for cell_id, path in index(runs).items() if cell_id not in ids]
    return _live(completed([s for s in beside if s.status.get("job") in jobs]))


def _stop_here(state: "CellState") -> str:
    """Ask a cell that runs on this machine to stop; what was done, in a line."""
    from rlvr_sweep.cell_dir import holder

    name, host, pid = state.cell_id, state.status.get("host"), state.status.get("pid")
    if host != socket.gethostname() or not isinstance(pid, int):
        return f"{name}: runs on {host}; run cancel there"
    if state.path is None or holder(state.path) != f"process {pid} on {host}":  # the record is of another attempt
        return f"{name}: is just starting, or has just ended; run cancel again"
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return f"{name}: has just ended"
    except PermissionError:
        return f"{name}: belongs to another user (process {pid})"
    return f"{name}: stops after its update (process {pid}); its sweep goes on with the cells that wait"
