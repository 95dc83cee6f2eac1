"""One attempt of a cell: a process tree of its own, told to stop gently or killed, and what is written of its end.

process = CellProcess.start(directory, lease)
process.stop(); process.poll(); process.settle()
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rlvr_sweep.cell_dir import ATTEMPT, CellDir
from rlvr_sweep.sweep.slots import Lease

DONE, FAILED, USER_ERROR, LOCKED, STOPPED = 0, 1, 2, 3, 75  # exit codes of the worker (train/worker.py)
# torchrun kills its ranks 30 s after a SIGTERM; a 7B model's step with its generation and its checkpoint takes minutes.
PATIENCE_S = "900"
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # what people and systems send
PR_SET_PDEATHSIG = 1


def _stop_with_parent() -> Callable[[], None] | None:
    """For the child, before it becomes the worker: SIGTERM (so a checkpoint) when whoever started it is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def command(directory: CellDir) -> list[str]:
    """What runs a cell: the worker, or torchrun over its ranks; under SLURM on several nodes, one torchrun on each."""
    worker = ["-m", "rlvr_sweep.train.worker", str(directory.path)]
    compute = directory.cell.compute
    if compute.ranks == 1:
        return [sys.executable, *worker]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if compute.nodes == 1:
        return [*torchrun, "--standalone", "--nproc_per_node", str(compute.ranks), *worker]
    from rlvr_sweep.sweep.nodes import launch

    return launch([*torchrun, "--nproc_per_node", str(compute.ranks // compute.nodes)], worker, nodes=compute.nodes)


def _environment(lease: Lease, attempt: int, extra: Mapping[str, str]) -> dict[str, str]:
    visible = ",".join(lease.gpus)
    return {
        **os.environ,
        ATTEMPT: str(attempt),
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": PATIENCE_S,
        # A cell sees its own GPUs and no others; one that runs on cores sees none, and so makes no context there.
        "CUDA_VISIBLE_DEVICES": visible,
        **extra,
    }


class Finished(Exception):
    """Another sweep has done the cell since ours looked."""


class CellProcess:
    """A running attempt. `began` is the monotonic time of its start."""

    def __init__(self, directory: CellDir, lease: Lease, attempt: int, popen: subprocess.Popen) -> None:
        self.directory, self.lease, self.attempt, self._popen = directory, lease, attempt, popen
        self.began = time.monotonic()
        self._is_stopped = False

    @classmethod
    def start(cls, directory: CellDir, lease: Lease, extra: Mapping[str, str] | None = None) -> "CellProcess":
        """Raises Locked where another process runs the cell, Finished where one has run it meanwhile."""
        with directory.lock():  # the worker takes it next; who comes between is told so by the worker
            if directory.is_done:
                raise Finished
            attempt = directory.next_attempt()
        with cls._log(directory, attempt).open("w") as log:
            popen = subprocess.Popen(
                command(directory),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(lease, attempt, extra or {}),
                # Ctrl-C reaches us alone, and we pass on one SIGTERM, not one to every rank and library's process.
                start_new_session=True,
                preexec_fn=_stop_with_parent(),
            )
        return cls(directory, lease, attempt, popen)

    @staticmethod
    def _log(directory: CellDir, attempt: int) -> Path:
        return directory.path / "attempts" / str(attempt) / "log.txt"

    @property
    def log(self) -> Path:
        return self._log(self.directory, self.attempt)

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def stop(self, *, kill: bool) -> None:
        """It writes a checkpoint and ends, or is killed with all its children."""
        self._is_stopped = True
        if kill:
            self.kill()
        elif self.is_running:
            self._popen.send_signal(signal.SIGTERM)  # torchrun passes it on to its ranks

    def kill(self) -> None:
        """Nothing of its process tree is left behind."""
        if self.is_running:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def settle(self) -> int:
        """After its end: the exit code that counts, and a status for a process that could not write one itself."""
        code = self._popen.wait()
        with contextlib.suppress(ProcessLookupError):  # a worker that was killed leaves its graders and W&B's process
            os.killpg(self._popen.pid, signal.SIGKILL)
        if code in (DONE, LOCKED):
            return code
        status = self.directory.read_status()
        if status.get("attempt") == self.attempt and status["state"] != "running":
            return status.get("exit", FAILED)  # torchrun hides the worker's own code
        now = time.time()
        if self._is_stopped:  # before it could checkpoint, or killed
            reason = "interrupted; start it again and it goes on"
            self.directory.status(state="preempted", attempt=self.attempt, reason=reason, finished=now, exit=STOPPED)
            return STOPPED
        if code < 0 and -code in FROM_OUTSIDE:  # the system was out of memory, or somebody killed it: not its own fault
            reason = f"ended from outside by {signal.Signals(-code).name}; start it again and it goes on"
            self.directory.status(state="preempted", attempt=self.attempt, reason=reason, finished=now, exit=FAILED)
            return FAILED
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.directory.fail(f"ended by {name}", code=FAILED, attempt=self.attempt)
        return FAILED
