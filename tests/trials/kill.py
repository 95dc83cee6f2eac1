"""Kills a cell with SIGKILL at three places, starts it again each time, and compares it with one that was left alone.

    python -m tests.trials.kill [overrides]

Prints the SHA-256 of the final weights and of the metrics of both.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse

PLACES = (0.15, 0.5, 0.8)  # of the optimizer steps


def worker(directory: CellDir) -> subprocess.Popen:
    command = [sys.executable, "-m", "rlvr_sweep.train.worker", str(directory.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def steps(directory: CellDir) -> int:
    file = directory.path / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def kill_at(directory: CellDir, step: int) -> int:
    """Run until `step` steps are recorded, kill the whole process group; the step it was killed at."""
    process = worker(directory)
    while steps(directory) < step:
        if process.poll() is not None:
            raise SystemExit(f"the worker ended by itself: {directory.read_status()}")
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return steps(directory)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(lines: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        made = [
            CellDir.create(compose_or_refuse([*lines, "tracking=off", f"runs={folder}/{name}"], multirun=False)[0])
            for name in ("alone", "killed")
        ]
        alone, killed = made
        if worker(alone).wait() != 0:
            raise SystemExit(f"the cell fails by itself: {alone.read_status()}")
        total = alone.document["batch"]["optimizer_steps"]
        for place in PLACES:
            print(f"SIGKILL at step {kill_at(killed, max(1, int(place * total)))} of {total}")
        if worker(killed).wait() != 0:
            raise SystemExit(f"it does not go on: {killed.read_status()}")
        same = True
        for name in ("model/model.safetensors", "metrics.jsonl"):
            pair = [digest(directory.path / name) for directory in made]
            same = same and pair[0] == pair[1]
            print(*(f"{value}  {d.path.parent.name}/{name}" for value, d in zip(pair, made, strict=True)), sep="\n")
        print("identical" if same else "DIFFERENT")
        return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
