"""Runs the two things that `bench` times, each in a process tree of its own of which nothing is left behind.

run_cell(directory, lease(directory), print)        # its exit code
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlvr_sweep import devices
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.lifeline import dies_with_parent
from rlvr_sweep.sweep import memory
from rlvr_sweep.sweep.gpus import smallest
from rlvr_sweep.sweep.process import CellProcess, command
from rlvr_sweep.sweep.slots import Lease, Slots, need
from rlvr_sweep.versions import check_installed

POLL_S = 0.2


def lease(directory: CellDir) -> Lease:
    """The GPUs or cores for this cell. UserError where this machine has too few, or they too little memory."""
    cell, slots = directory.cell, Slots.of_this_machine()
    wanted = need(cell.compute, has_gpus=bool(slots.gpus))
    slots.check(wanted, cell)
    check_installed(cell.compute)
    if wanted.gpus:
        memory.check(cell, smallest(slots.gpus), gpus=len(slots.gpus))
    else:
        memory.check_cores(cell)
    given = slots.take(wanted)
    assert given is not None  # nobody else has taken of them
    return given


def run_cell(directory: CellDir, given: Lease, say: Callable[[str], None]) -> int:
    """The cell's own worker, as a sweep starts it; its exit code. `say` hears of every phase and step."""
    process = CellProcess.start(directory, given, seen=0)
    told = None
    try:
        while process.is_running:
            time.sleep(POLL_S)
            status = directory.read_status()
            now = (status.get("phase"), status.get("step"))
            if now[0] is not None and now != told:
                told = now
                step = f" {now[1]}/{status.get('steps')}" if now[0] == "train" and now[1] is not None else ""
                say(f"{time.monotonic() - process.began:6.0f} s  {now[0]}{step}")
    finally:
        process.kill()
    return process.settle()


def run_stock(directory: CellDir, given: Lease, out: Path, log: Path) -> int:
    """bench/stock.py on the same GPUs; its exit code."""
    environment = {**os.environ, **devices.only(given.gpus), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command(directory, module="rlvr_sweep.bench.stock"), str(out)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that what was started is ended and removed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def why(directory: CellDir, code: int) -> str:
    """What a failed cell said of itself."""
    return directory.read_status().get("reason") or f"the cell ended by exit code {code}"
