"""Runs one daemon and owns whatever descends from it, so that nothing it starts is ever left behind.

python holder.py DIRECTORY slurmd -D -N n1

A byte on standard input: SIGKILL for all of them, then the end. If it closes instead, the owner has died: then
DIRECTORY goes too. It also ends when the daemon has ended and left nothing behind, with the daemon's exit code.
"""

import ctypes
import os
import select
import shutil
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


class Holder:
    def __init__(self, argv: list[str]) -> None:
        self.exit_code = 0
        self.waker, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Orphans come to us instead of to process 1: slurmd leaves its job steps, and a killed step its job.
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        usual = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores them, and jobs would inherit that
        self.daemon = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=[no_input], setpgroup=0, setsigdef=usual, setsigmask=[]
        )

    def run(self) -> bool:
        """Returns when nothing runs any more (False), or when there is input or its end (True)."""
        while self.reap():
            ready, _, _ = select.select([0, self.waker], [], [])
            if 0 in ready:
                return True
            os.read(self.waker, 4096)
        return False

    def reap(self) -> bool:
        """Takes the exit codes of ended children; whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.daemon:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Signals children only: before reap() their process ids cannot be others'. Then their children are ours."""
        while self.reap():
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            select.select([self.waker], [], [], 0.02)


def children() -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        if parent == os.getpid():
            found.append(int(pid))
    return found


def main(directory: str, *argv: str) -> int:
    holder = Holder(list(argv))
    if holder.run():
        owner_lives = bool(os.read(0, 1))
        holder.kill()
        if not owner_lives:  # each daemon's holder does this, so files vanish under one another's hands
            shutil.rmtree(directory, ignore_errors=True)
    return holder.exit_code if holder.exit_code >= 0 else 128 - holder.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
