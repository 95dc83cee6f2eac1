"""One task of a SLURM array: runs its cells by the local scheduler, and goes back into the queue at the time limit.

    python -m rlvr_sweep.sweep.task runs/_sweeps/NAME/submissions/1       # by launch/slurm.sbatch.j2

SIGUSR1 comes ahead of the limit, or when the job is preempted: the cells checkpoint, and the task requeues itself.
SIGTERM means that SLURM ends the job for its own reasons (preemption, which requeues by itself, or scancel, which shall
stay): the cells checkpoint, and that is all.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rlvr_sweep.cell_dir import JOB, CellDir, holder
from rlvr_sweep.config.schema import Cluster
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.local import Scheduler, exit_code
from rlvr_sweep.sweep.process import STOPPED
from rlvr_sweep.sweep.queue import Unknown, ask

DEADLINE = "RLVR_SWEEP_DEADLINE"  # read by train/stopping.py
LEFT_OVER_S = 120  # how long a former attempt of a requeued task may take to end


def main(argv: list[str]) -> int:
    submission, task = Path(argv[0]), int(os.environ["SLURM_ARRAY_TASK_ID"])
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}"
    row = json.loads((submission / "tasks.jsonl").read_text().splitlines()[task])
    try:
        return _run([CellDir(Path(path)) for path in row["cells"]], job)
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return 2


def _run(directories: Sequence[CellDir], job: str) -> int:
    missing = [directory for directory in directories if not directory.is_done]
    print(f"job {job} on {os.uname().nodename}: {len(missing)} of {len(directories)} cells to run", flush=True)
    if not missing:
        return 0
    cell = missing[0].cell
    environment = {JOB: job}
    if (left := _seconds_left()) is not None:
        # By the node's own clock; the controller's may differ. Some seconds stay for what is left to do after a save.
        environment[DEADLINE] = str(time.time() + left - min(30, cell.cluster.signal_s / 2))
    before = {directory: directory.read_status().get("step", 0) for directory in missing}
    for directory in missing:
        _wait_for_left_over(directory)
    scheduler = Scheduler(missing, settings=cell.sweep, console=Console(), environment=environment)
    codes = scheduler.run()
    stopped = [directory for directory, code in codes.items() if code == STOPPED]
    if stopped and signal.SIGTERM not in scheduler.asked and cell.cluster.requeue:
        moved = [d for d, code in codes.items() if code == 0 or d.read_status().get("step", 0) > before[d]]
        _requeue(job) if moved else _give_up(stopped, cell.cluster)
    return exit_code(codes.values())


def _seconds_left() -> float | None:
    """Until the time limit of this job; None where there is none, or SLURM does not say."""
    try:
        text = ask(["squeue", "-h", "-j", os.environ["SLURM_JOB_ID"], "-o", "%L"]).strip()
    except Unknown as error:
        print(f"rlvr_sweep: the time limit is not known ({error}); SIGUSR1 will tell", file=sys.stderr)
        return None
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if found is None:  # UNLIMITED
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _wait_for_left_over(directory: CellDir) -> None:
    """A node that was lost and came back may still run the former attempt: it holds the cell's lock until it ends."""
    end = time.monotonic() + LEFT_OVER_S
    while (who := holder(directory.path)) and time.monotonic() < end:
        print(f"rlvr_sweep: {directory.path.name}: waiting for {who} to end", flush=True)
        time.sleep(5)


def _requeue(job: str) -> None:
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:  # SLURM was quicker, or the job may not be requeued: the next launch takes its cells
        print(f"rlvr_sweep: not requeued: {done.stderr.strip()}", file=sys.stderr)


def _give_up(stopped: Sequence[CellDir], cluster: Cluster) -> None:
    """Requeueing a cell that gets nowhere within the limit would go on for ever."""
    for directory in stopped:
        directory.fail(f"no update was finished within cluster.time={cluster.time}; write a longer one", code=STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
