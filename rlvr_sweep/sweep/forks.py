"""The launcher's end of the fork server (train/fork_server.py): cells that start without importing torch again.

    with closing(ForkServer(gpus=("0",))) as server:
        while server.is_starting: ...                        # its imports take as long as a worker's
        worker = server.fork(path, environment, log)         # a Forked, or None: see server.fault

A forked worker is a child of this process, in a session of its own, as one started by subprocess.Popen.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rlvr_sweep import devices
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.lifeline import adopting_orphans, dies_with_parent

MODULE = "rlvr_sweep.train.fork_server"
ANSWER_S = 60.0  # a fork takes milliseconds
LONGEST_ANSWER = 1 << 16


def can_fork(compute: Compute) -> bool:
    """Whether such a cell can be forked: one process, without the engines that want a fresh interpreter."""
    return sys.platform.startswith("linux") and compute.ranks == 1 and not compute.zero and compute.backend == "hf"


class Forked:
    """A worker that the server forked; the part of subprocess.Popen that a cell's process needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._code if self._code is not None else self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self._code if self._code is not None else self._reap(0)
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _reap(self, how: int) -> int | None:
        pid, status = os.waitpid(self.pid, how)
        if pid:
            self._code = os.waitstatus_to_exitcode(status)
        return self._code


class ForkServer:
    """A running fork server. `fault` says why it is of no use any more; it never raises.

    `gpus`: those that its workers share out. What is imported may look whether there are any.
    """

    def __init__(self, gpus: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.gpus = gpus
        self.fault: str | None = None
        self._is_ready = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the server lives; close() ends both)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={**environment, **devices.only(gpus)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )
        self._channel.setblocking(False)

    @property
    def is_starting(self) -> bool:
        """Whether it still imports."""
        if self.fault is None and not self._is_ready:
            try:
                answer = self._hear()
            except BlockingIOError:
                return True
            self._is_ready = answer is not None and bool(answer.get("ready"))
        return False

    def fork(self, cell: Path, environment: Mapping[str, str], log: IO[str]) -> Forked | None:
        """A worker of the cell in `cell`, its output in `log`, with these variables besides the server's own; None
        where there is none, and `fault` says why."""
        if self.is_starting or self.fault is not None:
            return None
        request = {"cell": str(cell), "launcher": os.getpid(), "environment": dict(environment)}
        try:
            self._channel.settimeout(ANSWER_S)
            with adopting_orphans():
                socket.send_fds(self._channel, [json.dumps(request).encode()], [log.fileno()])
                answer = self._hear()
        except ConnectionError:
            self._end(self._last_words())
            return None
        except OSError as error:  # too long a request, no answer in time
            self._end(str(error) or type(error).__name__)
            return None
        return Forked(answer["pid"]) if answer is not None else None

    def close(self) -> None:
        """End it; its workers live on."""
        self._popen.kill()
        self._popen.wait()
        self._channel.close()
        self._log.close()

    def _hear(self) -> dict[str, Any] | None:
        """The next message, or None: it is none, or a fault. BlockingIOError or TimeoutError where none has come."""
        try:
            message = self._channel.recv(LONGEST_ANSWER)
        except ConnectionError:
            message = b""
        answer = json.loads(message) if message else {"fault": self._last_words()}
        if fault := answer.get("fault"):
            self._end(fault)
            return None
        return answer

    def _last_words(self) -> str:
        """Of a server that has ended: how, and what it wrote last."""
        code = self._popen.wait()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"it ended with exit code {code}{': ' + lines[-1][:200] if lines else ''}"

    def _end(self, fault: str) -> None:
        self.fault = fault
        self._popen.kill()
        self._popen.wait()
