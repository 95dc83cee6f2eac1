"""Runs cells on this machine: as many at once as its GPUs or cores take, each in a process tree of its own.

    run(directories, settings=cell.sweep, console=Console())

A cell that fails stops no other one. Ctrl-C once lets every running cell write a checkpoint, twice kills them; nothing
is left behind either way. The same scheduler runs the cells of a SLURM array task (task.py).
"""

import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rlvr_sweep.cell_dir import CellDir, Locked
from rlvr_sweep.config.schema import Sweep
from rlvr_sweep.protocol import DONE, FAILED, LOCKED, STOPPED, USER_ERROR
from rlvr_sweep.sweep import memory, packing
from rlvr_sweep.sweep.forks import ForkServer, can_fork
from rlvr_sweep.sweep.gpus import least_free, smallest
from rlvr_sweep.sweep.nodes import check as check_nodes
from rlvr_sweep.sweep.process import COMMON, CellProcess, TakenMeanwhile
from rlvr_sweep.sweep.slots import Need, Slots, need
from rlvr_sweep.sweep.view import View
from rlvr_sweep.versions import check_installed

POLL_S = 0.1
ASK_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def run(
    directories: Sequence[CellDir], *, others: Sequence[Path] = (), settings: Sweep, console: Console | None = None
) -> int:
    """Run the cells in `directories`, and print the table of them and of `others` (cells of the sweep that are not
    started now). UserError where one could never start on this machine; then none is started.

    Exit code: 1 if a cell failed, else 2 for a user's mistake, 3 for a cell another process runs, 75 if asked to stop
    before the end, else 0.
    """
    console = console or Console()
    scheduler = Scheduler(directories, settings=settings, console=console, forks=settings.fork)
    codes = list(scheduler.run().values())
    if codes not in ([USER_ERROR], [LOCKED], [STOPPED]):  # a lone cell of which one line says all
        paths = [*others, *(directory.path for directory in directories)]
        _report(sorted(paths, key=lambda path: path.name), console)
    return exit_code(codes)


def exit_code(codes: Collection[int]) -> int:
    """The gravest of the cells' exit codes."""
    return next((code for code in (FAILED, USER_ERROR, LOCKED, STOPPED) if code in codes), DONE)


def listen(asked: list[int]) -> dict[Any, Any]:
    """Note the signals that ask to stop in `asked`, but for those this process was told to ignore (nohup, a shell's &).
    Returns the former handlers."""
    former = {number: signal.getsignal(number) for number in ASK_TO_STOP}
    former = {number: handler for number, handler in former.items() if handler != signal.SIG_IGN}
    for number in former:
        signal.signal(number, lambda number, frame: asked.append(number))
    return former


class Scheduler:
    """Starts cells while there is room, and waits for them."""

    def __init__(
        self,
        directories: Sequence[CellDir],
        *,
        settings: Sweep,
        console: Console,
        slots: Slots | None = None,
        environment: Mapping[str, str] | None = None,
        asked: list[int] | None = None,
        forks: bool = False,
    ) -> None:
        self.slots = slots or Slots.of_this_machine(settings.slots)
        self.codes: dict[CellDir, int] = {}
        self.asked = [] if asked is None else asked  # the signals that asked to stop, in order
        self.started: list[CellDir] = []
        self._seen = {directory: directory.read_status().get("attempt", 0) for directory in directories}
        self._waiting: list[tuple[CellDir, Need]] = []
        total, free = smallest(self.slots.gpus), least_free(self.slots.gpus)
        for directory in directories:
            compute = directory.cell.compute
            gpus, cores = len(self.slots.gpus), self.slots.cores
            part = packing.share(directory.cell, free=free, cores=cores, gpus=gpus, cells=len(directories))
            offloaded = memory.offloaded(directory.cell)
            wanted = need(compute, has_gpus=gpus > 0, share=part, host=offloaded)
            check_nodes(compute.nodes)
            self.slots.check(wanted, directory.cell)
            check_installed(compute)
            if wanted.gpus:
                memory.check(directory.cell, total, gpus=gpus)
            else:
                memory.check_cores(directory.cell)
            self._waiting.append((directory, wanted))
        self._running: list[CellProcess] = []
        # The imports of a fork server pay from the second cell on. They look for GPUs, so that it serves either cells
        # on GPUs or cells on cores: the kind of which there are more.
        forked = [bool(wanted.gpus) for directory, wanted in self._waiting if can_fork(directory.cell.compute)]
        self._forks = forks and len(forked) > 1
        self._fork_gpus = self.slots.gpus if 2 * sum(forked) > len(forked) else ()
        self._server: ForkServer | None = None
        self._told = 0
        self._settings, self._environment = settings, environment
        self._may_start_at = 0.0
        self._view = View(console, total=len(directories))

    def run(self) -> dict[CellDir, int]:
        """Exit code by directory; those that were not started because it was asked to stop have 75."""
        former = listen(self.asked)
        try:
            if self._forks and not self.asked:
                self._start_server()
            with self._view:
                while self._waiting or self._running:
                    self._heed()
                    self._collect()
                    self._start()
                    self._view.update(self._running)
                    time.sleep(POLL_S)
        finally:
            for process in self._running:  # we fail ourselves: nothing is left behind
                process.kill()
            self._end_server()
            for number, handler in former.items():
                signal.signal(number, handler)
        return self.codes

    def _heed(self) -> None:
        """Pass a wish to stop on to all cells, and a second Ctrl-C; those that wait are not started any more.

        Other signals only ask: SLURM sends SIGUSR1 and SIGTERM in the same second."""
        wish = 2 if self.asked.count(signal.SIGINT) > 1 else 1 if self.asked else 0
        if wish > self._told:
            self._told = wish
            for process in self._running:
                process.stop(kill=wish > 1)
            self._view.stopping(wish)
        if self.asked:
            self.codes |= {directory: STOPPED for directory, _ in self._waiting}
            self._waiting = []

    def _collect(self) -> None:
        for process in [p for p in self._running if not p.is_running]:
            self._running.remove(process)
            try:
                code = process.settle()
            except OSError as error:  # a full disk: that cell's trouble, not the sweep's
                self._view.say(
                    f"rlvr_sweep: {process.directory.path}: status.json cannot be written ({error.strerror})"
                )
                code = FAILED
            self.slots.give(process.lease)
            self.codes[process.directory] = code
            self._view.ended(process, code)

    def _start(self) -> None:
        """Start the first cell that has room, no sooner than the last start allows: an import of torch by many
        processes at once is slow for all, and two that measure a GPU's free memory at once are both wrong. A cell that
        is forked does neither."""
        if not self._waiting:
            self._end_server()
        if not self._waiting or time.monotonic() < self._may_start_at:
            return
        if self._server is not None and self._server.is_starting:
            return
        for position, (directory, wanted) in enumerate(self._waiting):
            lease = self.slots.take(wanted)
            if lease is None:
                continue
            del self._waiting[position]
            try:
                process = CellProcess.start(
                    directory, lease, seen=self._seen[directory], extra=self._environment, server=self._server
                )
            except TakenMeanwhile as error:
                code = DONE if directory.is_done else LOCKED
                self._end_before_start(
                    directory, code, f"{directory.path.name}: run meanwhile by another sweep ({error})"
                )
            except Locked as error:
                self._end_before_start(directory, LOCKED, str(error))
            except OSError as error:  # a full disk, too many processes: that cell's, not the sweep's
                self._end_before_start(directory, FAILED, f"{directory.path}: cannot be started ({error.strerror})")
            else:
                self._running.append(process)
                self.started.append(directory)
                self._view.started(process)
                if not process.is_forked:
                    self._may_start_at = time.monotonic() + self._settings.stagger_s
                self._heed_server()
                return
            self.slots.give(lease)
            return

    def _start_server(self) -> None:
        try:
            self._server = ForkServer(self._fork_gpus, {**os.environ, **COMMON})
        except OSError as error:  # too many processes or open files
            self._say_no_fork(str(error))

    def _heed_server(self) -> None:
        if self._server is not None and self._server.fault is not None:
            self._say_no_fork(self._server.fault)
            self._end_server()

    def _say_no_fork(self, reason: str) -> None:
        self._view.say(f"rlvr_sweep: fork server: {reason}; each cell now imports torch for itself")

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _end_before_start(self, directory: CellDir, code: int, message: str) -> None:
        self.codes[directory] = code
        self._view.say(f"rlvr_sweep: {message}")


def _report(paths: Sequence[Path], console: Console) -> None:
    if not paths:
        return
    from rlvr_sweep.report.commands import show_end

    show_end(paths, console)
