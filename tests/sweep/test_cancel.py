"""`cancel` of what runs on this machine, without SLURM (tests/slurm has the other)."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir

HOLDER = """
import sys, time
from pathlib import Path
from rlvr_sweep.cell_dir import CellDir
with CellDir(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_running_cell_is_asked_to_stop_and_the_process_of_a_former_attempt_is_left_alone(
    make_cell: Callable[..., CellDir], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make_cell()
    command = [sys.executable, "-c", HOLDER, str(directory.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stdout.readline()
        words = ["cancel", directory.cell_id, "--runs", str(directory.path.parent)]
        directory.status(state="running", pid=os.getpid(), host=socket.gethostname())  # which would end this test
        assert main(words) == 0
        assert "is just starting, or has just ended; run cancel again" in capsys.readouterr().out
        assert worker.poll() is None
        directory.status(state="running", pid=worker.pid, host=socket.gethostname())
        assert main(words) == 0
        assert f"stops after its update (process {worker.pid})" in capsys.readouterr().out
        assert worker.wait(60) == -signal.SIGTERM
