"""One attempt of a cell: a process tree of its own, told to stop gently or killed, and what is written of its end.

process = CellProcess.start(directory, lease, seen=0)
process.stop(kill=False); process.is_running; process.settle()
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rlvr_sweep import devices
from rlvr_sweep.cell_dir import CellDir, Locked
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.lifeline import dies_with_parent
from rlvr_sweep.protocol import ATTEMPT, DONE, FAILED, LOCKED, SHARE, STOP_FILE, STOPPED
from rlvr_sweep.sweep.forks import Forked, ForkServer, can_fork
from rlvr_sweep.sweep.slots import Lease

# torchrun kills its ranks 30 s after a SIGTERM; a 7B model's step with its generation and its checkpoint takes minutes.
PATIENCE_S = "900"
COMMON = {"PYTHONUNBUFFERED": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": PATIENCE_S}  # in every worker's environment
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # what people and systems send
ROOT_CAUSE = re.compile(r"exitcode\s*:\s*-(\d+)")  # torchrun's summary of the rank that failed first


def command(directory: CellDir, module: str = "rlvr_sweep.train.worker") -> list[str]:
    """What runs a cell: the worker, or torchrun over its ranks; under SLURM on several nodes, one torchrun on each."""
    worker = ["-m", module, str(directory.path)]
    compute = directory.cell.compute
    if compute.ranks == 1 and not compute.zero:  # DeepSpeed wants a process group, also of one
        return [sys.executable, *worker]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if compute.nodes == 1:
        return [*torchrun, "--standalone", "--nproc_per_node", str(compute.ranks), *worker]
    from rlvr_sweep.sweep.nodes import launch

    torchrun += ["--nproc_per_node", str(compute.ranks // compute.nodes)]
    return launch(torchrun, worker, nodes=compute.nodes, cell_id=directory.cell_id)


def _threads(compute: Compute, lease: Lease) -> dict[str, str]:
    """Of each rank: what compute.threads says; with offload, where Adam's steps and the sums of gradients are the
    CPU's, as large a part of the cores as it has of the GPUs. Otherwise what is exported, or worker.py's one."""
    if compute.threads:
        return {"OMP_NUM_THREADS": str(compute.threads)}
    if not (compute.offload and lease.gpus):
        return {}
    part = lease.need.share / len(devices.gpus_here() or lease.gpus)
    return {"OMP_NUM_THREADS": str(max(1, int(devices.cores_here() * part)))}


class TakenMeanwhile(Exception):
    """Another process has run the cell since ours looked."""


class CellProcess:
    """A running attempt. `began` is the monotonic time of its start."""

    def __init__(self, directory: CellDir, lease: Lease, attempt: int, popen: subprocess.Popen | Forked) -> None:
        self.directory, self.lease, self.attempt, self._popen = directory, lease, attempt, popen
        self.began = time.monotonic()
        self._is_stopped = False

    @classmethod
    def start(
        cls,
        directory: CellDir,
        lease: Lease,
        *,
        seen: int,
        extra: Mapping[str, str] | None = None,
        server: ForkServer | None = None,
    ) -> "CellProcess":
        """By a fork of `server` where that can be had, else in an interpreter of its own.

        Raises Locked where another process runs the cell, TakenMeanwhile where one has since attempt `seen`, the
        newest when ours looked; OSError where nothing can be written or started."""
        with directory.lock():  # the worker takes it next; who comes between is told so by the worker
            status = directory.read_status()
            if directory.is_done or status.get("attempt", 0) != seen:
                raise TakenMeanwhile("done" if directory.is_done else status["state"])
            attempt = directory.next_attempt()
        folder = directory.path / "attempts" / str(attempt)
        environment = {
            ATTEMPT: str(attempt),
            STOP_FILE: str(folder / "stop"),
            **COMMON,
            # A cell sees its own GPUs and no others; one that runs on cores sees none, and makes no context there.
            **devices.only(lease.gpus),
            SHARE: str(float(lease.need.share)),
            **_threads(directory.cell.compute, lease),
            **(extra or {}),
        }
        popen = None
        with (folder / "log.txt").open("w") as log:
            if server is not None and bool(server.gpus) == bool(lease.gpus) and can_fork(directory.cell.compute):
                popen = server.fork(directory.path, environment, log)
            if popen is None:
                popen = subprocess.Popen(
                    command(directory),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    # Ctrl-C reaches us alone, and we pass on one SIGTERM, not one to every rank and library's process.
                    start_new_session=True,
                    preexec_fn=dies_with_parent(signal.SIGTERM),
                )
        return cls(directory, lease, attempt, popen)

    @property
    def is_forked(self) -> bool:
        return isinstance(self._popen, Forked)

    @property
    def folder(self) -> Path:
        return self.directory.path / "attempts" / str(self.attempt)

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def stop(self, *, kill: bool) -> None:
        """It writes a checkpoint and ends, or is killed with all its children."""
        self._is_stopped = True
        if kill:
            self.kill()
        elif self.directory.document["cell"]["compute"].get("nodes", 1) > 1:
            (self.folder / "stop").touch()  # srun answers a SIGTERM by killing all its tasks
        elif self.is_running:
            self._popen.send_signal(signal.SIGTERM)  # torchrun passes it on to its ranks

    def kill(self) -> None:
        """Nothing of its process tree is left behind (ranks are in sessions of their own; they die with torchrun)."""
        if self.is_running:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def settle(self) -> int:
        """After its end: the exit code that counts, and a status for a process that could not write one itself.

        OSError where it cannot be written.
        """
        code = self._popen.wait()
        with contextlib.suppress(ProcessLookupError):  # a worker that was killed leaves its graders and W&B's process
            os.killpg(self._popen.pid, signal.SIGKILL)
        if code in (DONE, LOCKED):
            return code
        try:
            with self.directory.lock():
                return self._judge(code)
        except Locked:  # by another process, whose cell it is: torchrun makes a 1 of the worker's own exit code
            return LOCKED

    def _judge(self, code: int) -> int:
        status = self.directory.read_status()
        if status.get("attempt", 0) > self.attempt:  # it is another's by now
            return LOCKED
        own = status.get("attempt") == self.attempt and status["state"] != "running"
        killed = -code if code < 0 else self._killed_rank()
        now = time.time()
        if killed in FROM_OUTSIDE and not self._is_stopped and (not own or status["state"] == "failed"):
            # Out of memory, or somebody killed it: not its own fault, even if other ranks wrote that they failed.
            cause = " (out of memory?)" if killed == signal.SIGKILL else ""
            reason = f"ended from outside by {signal.Signals(killed).name}{cause}; start it again and it goes on"
            failures = max(0, status.get("failures", 0) - own)
            changes = {"attempt": self.attempt, "finished": now, "exit": FAILED, "failures": failures}
            self.directory.status(state="preempted", reason=reason, **changes)
            return FAILED
        if own:
            return status.get("exit", FAILED)
        if self._is_stopped:  # before it could checkpoint, or killed
            reason = "interrupted; start it again and it goes on"
            self.directory.status(state="preempted", attempt=self.attempt, reason=reason, finished=now, exit=STOPPED)
            return STOPPED
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.directory.fail(f"ended by {name}", code=FAILED, attempt=self.attempt)
        return FAILED

    def _killed_rank(self) -> int:
        """The signal that ended the rank that failed first, as torchrun tells it; 0: none."""
        if self.directory.cell.compute.ranks == 1:
            return 0
        found = ROOT_CAUSE.findall(self.log.read_text(errors="replace"))
        return int(found[-1]) if found else 0
