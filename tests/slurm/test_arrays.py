"""Sweeps as job arrays on a real SLURM: throttled, preempted, requeued, killed, on lost nodes; all done at the end.

make test-slurm ARGS='tests/slurm/test_arrays.py --durations=0'
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep import cancel
from rlvr_sweep.sweep.launch import launch
from rlvr_sweep.sweep.queue import completed
from rlvr_sweep.sweep.state import CellState, states
from tests.conftest import TINY
from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

WAIT_S = 1200  # ends what hangs, and judges no speed
T = TypeVar("T")


class Sweep:
    """A sweep of small lab cells in a folder of its own."""

    def __init__(self, runs: Path, *lines: str) -> None:
        self.runs = runs
        own = ["compute=cpu", "eval.every=0", "cluster.time=00:10:00", "sweep.name=trial", f"runs={runs}"]
        self.lines = [*TINY, *own, *lines]
        self.cells = compose_or_refuse(self.lines, multirun=True)

    def submit(self) -> int:
        return launch(self.cells, launcher="slurm", command=self.lines, multirun=True)

    def states(self) -> list[CellState]:
        return completed(states([c.cell_id for c in self.cells], self.runs))

    def all(self, state: str) -> bool:
        return {s.state for s in self.states()} == {state}

    def running(self) -> list[CellState]:
        """Cells that have made some updates and go on."""
        return [s for s in self.states() if s.state == "running" and s.status.get("step", 0) >= 1]

    def log(self) -> str:
        return "".join(p.read_text() for p in sorted((self.runs / "_sweeps/trial/submissions").glob("*/*.log")))

    def steps_of(self, state: CellState) -> list[int]:
        return [row["step"] for row in state_rows(state, "metrics.jsonl")]


def state_rows(state: CellState, name: str) -> list[dict[str, Any]]:
    assert state.path is not None
    return [json.loads(line) for line in (state.path / name).read_text().splitlines()]


def until(condition: Callable[[], T], sweep: Sweep) -> T:
    """What it finds, once that is true."""
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {[(s.state, s.reason) for s in sweep.states()]}\n{sweep.log()}"
        time.sleep(0.2)
    return found


def tasks(cluster: Cluster) -> list[str]:
    return cluster.run("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%F_%K").split()


def test_eight_cells_two_at_a_time_one_preempted_one_killed(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=range(0,8)", "cluster.throttle=2", "cluster.partition=main", "algo.rollouts=20")
    sweep.submit()
    killed = until(sweep.running, sweep)[0]
    os.kill(killed.status["pid"], signal.SIGKILL)
    until(lambda: [s for s in sweep.states() if s.cell_id == killed.cell_id and s.state == "preempted"], sweep)
    until(lambda: killed.status["job"] not in tasks(slurm), sweep)
    preempted = until(lambda: [s for s in sweep.running() if s.cell_id != killed.cell_id], sweep)[0]
    job = preempted.status["job"]
    node = slurm.run("squeue", "-h", "-r", "-j", job, "-o", "%N")
    slurm.run(
        "sbatch", "--partition=high", f"--nodelist={node}", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1"
    )
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, len([task for task in tasks(slurm) if task.startswith(job.split("_")[0])]))
        return all(s.state in ("done", "preempted") and s.state != "queued" for s in sweep.states())

    until(over, sweep)
    assert most == 2
    left = [s for s in sweep.states() if s.state != "done"]
    assert [s.cell_id for s in left] == [killed.cell_id]
    assert "SIGKILL" in (left[0].reason or "")
    assert sweep.submit() == 0  # takes the killed one and no other
    until(lambda: sweep.all("done"), sweep)
    found = {s.cell_id: s for s in sweep.states()}
    assert found[preempted.cell_id].status["attempt"] > 1
    assert found[killed.cell_id].status["attempt"] == 2
    for state in found.values():
        assert sweep.steps_of(state) == list(range(1, 41))
    others = set(found) - {preempted.cell_id, killed.cell_id}
    assert min(found[i].status["attempt"] for i in others) == 1


def test_the_signal_ahead_of_the_limit_checkpoints_and_requeues(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0", "algo.rollouts=20")
    sweep.submit()
    job = until(sweep.running, sweep)[0].status["job"]
    slurm.run("scancel", "--signal=USR1", "--batch", job)
    until(lambda: sweep.all("done"), sweep)
    [state] = sweep.states()
    assert state.status["attempt"] == 2
    assert sweep.steps_of(state) == list(range(1, 41))
    assert "stopping after this update" in sweep.log()


def test_a_node_that_is_lost_gives_its_cell_to_another_attempt(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0", "algo.rollouts=20")
    sweep.submit()
    job = until(sweep.running, sweep)[0].status["job"]
    node = slurm.run("squeue", "-h", "-r", "-j", job, "-o", "%N")
    slurm.scontrol("update", f"nodename={node}", "state=down", "reason=test")
    until(lambda: sweep.all("done"), sweep)
    [state] = sweep.states()
    assert state.status["attempt"] == 2
    assert sweep.steps_of(state) == list(range(1, 41))


def test_a_job_that_is_gone_is_lost_and_the_next_launch_takes_its_cell(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0", "algo.rollouts=200", "cluster.requeue=false")
    sweep.submit()
    status = until(sweep.running, sweep)[0].status
    worker, job = status["pid"], status["job"]
    task = int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())[0])
    os.kill(task, signal.SIGSTOP)  # neither the task nor its cell can write anything any more
    os.kill(worker, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    os.kill(task, signal.SIGKILL)
    until(lambda: sweep.all("lost"), sweep)
    until(lambda: not tasks(slurm), sweep)
    note = sweep.states()[0].reason or ""
    assert f"is marked running, but SLURM's job {job} is gone" in note
    assert "FAILED" in note or "NODE_FAIL" in note
    assert "0.log" in note
    sweep.submit()
    # Between the moment it takes the cell and its first status the record is still the former attempt's.
    until(lambda: [s for s in sweep.running() if s.status["attempt"] == 2], sweep)
    assert cancel.main(["trial", "--runs", str(tmp_path)]) == 0
    until(lambda: sweep.all("preempted"), sweep)


def test_what_is_queued_is_not_queued_again_and_can_be_cancelled(
    slurm: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(tmp_path, "seed=0,1", "+cluster.extra=[--hold]")
    sweep.submit()
    assert sweep.all("queued")
    capfd.readouterr()
    assert sweep.submit() == 0
    assert "nothing to start" in capfd.readouterr().out
    assert cancel.main(["trial", "--runs", str(tmp_path)]) == 0
    assert "cancelled 2 SLURM tasks with 2 cells" in capfd.readouterr().out
    until(lambda: sweep.all("pending"), sweep)
    assert sweep.submit() == 0
    assert sweep.all("queued")
    cancel.main(["trial", "--runs", str(tmp_path)])


def test_an_edit_of_the_checkout_does_not_reach_queued_cells(slurm: Cluster, tmp_path: Path) -> None:
    checkout, runs = tmp_path / "checkout", tmp_path / "runs"
    for folder in ("rlvr_sweep", "conf", "launch"):
        shutil.copytree(Path(__file__).parents[2] / folder, checkout / folder)
    sweep = Sweep(runs, "seed=0", "+cluster.extra=[--hold]")
    command = [sys.executable, "-m", "rlvr_sweep", "-m", *sweep.lines, "hydra/launcher=slurm"]
    subprocess.run(command, check=True, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)})
    worker = checkout / "rlvr_sweep" / "train" / "worker.py"
    worker.write_text('raise SystemExit("edited while its cells were queued")\n')
    slurm.run("scontrol", "release", sweep.states()[0].status["job"])
    until(lambda: sweep.all("done"), sweep)


def test_cancel_says_which_other_cells_of_a_task_it_stops(
    slurm: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(tmp_path, "seed=0,1", "cluster.pack=2", "+cluster.extra=[--hold]")
    sweep.submit()
    one, mate = sweep.states()
    assert cancel.main([one.cell_id, "--runs", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert "cancelled 1 SLURM task with 2 cells" in said
    assert f"{mate.cell_id}: shared a task with one of them" in said
    until(lambda: sweep.all("pending"), sweep)


def test_small_cells_share_a_task(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=range(0,3)", "cluster.pack=2", "cluster.cpus=2")
    sweep.submit()
    until(lambda: sweep.all("done"), sweep)
    jobs = [s.status["job"] for s in sweep.states()]
    assert [job.split("_")[1] for job in jobs] == ["0", "0", "1"]


def test_a_refusal_is_one_line_and_leaves_the_cells_to_the_next_launch(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0", "cluster.partition=nope")
    with pytest.raises(UserError, match=r"SLURM refused the array: .*partition") as caught:
        sweep.submit()
    assert len(str(caught.value).splitlines()) == 1
    assert sweep.all("pending")


def test_two_nodes_run_one_cell_and_stop_it_in_good_order(slurm: Cluster, tmp_path: Path) -> None:
    lines = ["compute.ranks=2", "compute.nodes=2", "algo.rollouts=20", "compute.checkpoint_every=0"]
    sweep = Sweep(tmp_path, "seed=0", *lines)
    sweep.submit()
    running = until(sweep.running, sweep)[0]
    first = state_rows(running, "timings.jsonl")[: running.status["step"]]
    slurm.run("scancel", "--signal=USR1", "--batch", running.status["job"])
    until(lambda: sweep.states()[0].state in ("done", "failed"), sweep)
    assert sweep.all("done"), sweep.log()
    [state] = sweep.states()
    assert state.status["attempt"] == 2
    assert sweep.steps_of(state) == list(range(1, 41))
    # None was made twice, or its seconds were others: the checkpoint was written though none was due.
    assert state_rows(state, "timings.jsonl")[: len(first)] == first != []


def test_an_administrator_may_requeue(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0", "algo.rollouts=20")
    sweep.submit()
    slurm.scontrol("requeue", until(sweep.running, sweep)[0].status["job"])
    until(lambda: sweep.all("done"), sweep)
    [state] = sweep.states()
    assert state.status["attempt"] == 2
    assert sweep.steps_of(state) == list(range(1, 41))


def test_the_time_limit_itself(slurm: Cluster, tmp_path: Path) -> None:
    """SLURM counts minutes, and signals up to half of one early: 20 to 50 s after the start, which is before half the
    limit, so that a slow start is requeued, too."""
    sweep = Sweep(tmp_path, "seed=0", "algo.rollouts=1000", "cluster.time=00:02:00", "cluster.signal_s=70")
    sweep.submit()
    until(lambda: sweep.states()[0].status.get("attempt", 0) >= 2, sweep)
    [state] = sweep.states()
    assert state.state in ("running", "queued", "preempted"), state.reason
    assert state.status.get("failures", 0) == 0
    cancel.main(["trial", "--runs", str(tmp_path)])


def test_a_cell_of_a_task_that_failed_is_not_run_again_by_a_requeue(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "seed=0,1", "cluster.pack=2", "cluster.cpus=2", "algo.rollouts=20")
    (CellDir.create(sweep.cells[0]).path / "metrics.jsonl").mkdir()  # where the record wants a file
    sweep.submit()
    until(lambda: {s.state for s in sweep.states()} == {"failed", "running"} and sweep.running(), sweep)
    slurm.run("scancel", "--signal=USR1", "--batch", sweep.running()[0].status["job"])
    until(lambda: {s.state for s in sweep.states()} == {"failed", "done"}, sweep)
    found = {s.state: s.status for s in sweep.states()}
    assert (found["failed"]["failures"], found["done"]["attempt"]) == (1, 2)
