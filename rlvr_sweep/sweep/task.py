"""One task of a SLURM array: runs its cells by the local scheduler, and goes back into the queue at the time limit.

    python -m rlvr_sweep.sweep.task runs/_sweeps/NAME/submissions/1       # by launch/slurm.sbatch.j2

SIGUSR1 comes ahead of the limit, or when the job is preempted: the cells checkpoint, and the task requeues itself.
SIGTERM alone means that somebody cancelled it: the cells checkpoint, and that is all.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rlvr_sweep.cell_dir import CellDir, holder
from rlvr_sweep.config.schema import Cluster
from rlvr_sweep.errors import UserError
from rlvr_sweep.protocol import DEADLINE, JOB, STOPPED
from rlvr_sweep.sweep.local import Scheduler, exit_code, listen
from rlvr_sweep.sweep.queue import Unknown, ask, seconds_of
from rlvr_sweep.sweep.state import read

LEFT_OVER_S = 120  # how long a former attempt of a requeued task may take to end
AFTER_S = 30  # before the time limit, for what is left to do after a checkpoint
MOST_OF_IT = 0.5  # of the time limit: a cell that gets nowhere in less was only stopped early


def main(argv: list[str]) -> int:
    asked: list[int] = []
    listen(asked)  # from now on: a signal during the imports of the first cell must not end the task
    submission, task = Path(argv[0]), int(os.environ["SLURM_ARRAY_TASK_ID"])
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}"
    row = json.loads((submission / "tasks.jsonl").read_text().splitlines()[task])
    try:
        return _run([CellDir(Path(path)) for path in row["cells"]], job, asked)
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return 2


def _run(directories: Sequence[CellDir], job: str, asked: list[int]) -> int:
    # What failed waits for `retry`; it would fail again at every requeue.
    missing = [d for d in directories if read(d.path).state not in ("done", "failed")]
    print(f"job {job} on {os.uname().nodename}: {len(missing)} of {len(directories)} cells to run", flush=True)
    if not missing:
        return 0
    cell, began = missing[0].cell, time.monotonic()
    environment, left = {JOB: job}, _seconds_left(job)
    if left is not None:
        # By the node's own clock; the controller's may differ. Some seconds stay for what is left to do after a save.
        environment[DEADLINE] = str(time.time() + left - AFTER_S)
    before = {directory: _saved(directory) for directory in missing}
    for directory in missing:
        _wait_for_left_over(directory, asked)
    scheduler = Scheduler(missing, settings=cell.sweep, console=Console(), environment=environment, asked=asked)
    codes = scheduler.run()
    stopped = [directory for directory, code in codes.items() if code == STOPPED]
    if stopped and cell.cluster.requeue and (signal.SIGUSR1 in asked or not asked):
        gets_on = any(_saved(directory) > step for directory, step in before.items())
        had_time = left is not None and time.monotonic() - began > MOST_OF_IT * left
        if gets_on or not had_time:
            _requeue(job)
        else:
            _give_up([directory for directory in stopped if directory in scheduler.started], cell.cluster)
    return exit_code(codes.values())


def _saved(directory: CellDir) -> float:
    """The optimizer step that a next attempt would start from."""
    if directory.is_done:
        return float("inf")
    return max(
        (int(p.parent.name.split("-")[1]) for p in directory.path.glob("checkpoints/checkpoint-*/COMPLETE")), default=0
    )


def _seconds_left(job: str) -> float | None:
    """Until the time limit of this task; None where there is none, or SLURM does not say."""
    try:
        text = ask(["squeue", "-h", "-j", job, "-o", "%L"]).strip()
    except Unknown as error:
        print(f"rlvr_sweep: the time limit is not known ({error}); SIGUSR1 will tell", file=sys.stderr)
        return None
    return seconds_of(text)


def _wait_for_left_over(directory: CellDir, asked: list[int]) -> None:
    """A node that was lost and came back may still run the former attempt: it holds the cell's lock until it ends."""
    end = time.monotonic() + LEFT_OVER_S
    while (who := holder(directory.path)) and time.monotonic() < end and not asked:
        print(f"rlvr_sweep: {directory.path.name}: waiting for {who} to end", flush=True)
        time.sleep(1)


def _requeue(job: str) -> None:
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:  # SLURM was quicker, or the job may not be requeued: the next launch takes its cells
        print(f"rlvr_sweep: not requeued: {done.stderr.strip()}", file=sys.stderr)


def _give_up(stopped: Sequence[CellDir], cluster: Cluster) -> None:
    """Requeueing a cell that gets nowhere within the limit would go on for ever."""
    for directory in stopped:
        directory.fail(f"nothing was saved within cluster.time={cluster.time}; write a longer one", code=STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
