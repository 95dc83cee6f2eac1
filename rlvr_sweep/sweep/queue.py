"""SLURM's view of cells, beside our own: what waits in its queue, and where the two disagree.

    states, notes = compare(states)          # pending -> queued; notes["3f2a..."] = "SLURM has no job 5_3 ..."

The record of a cell is its directory; SLURM only explains what is missing there. Where it cannot be asked (no squeue on
this machine, no controller), the states stay as they are and `asked` says why.
"""

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rlvr_sweep.sweep.state import CellState

TIMEOUT_S = 30


class Unknown(Exception):
    """SLURM cannot be asked; one line says why."""


@dataclass(frozen=True)
class Task:
    """One task of a job array, as SLURM sees it."""

    state: str  # PENDING, RUNNING, COMPLETING, ...
    reason: str
    node: str


def ask(command: Sequence[str]) -> str:
    """The output of one of SLURM's commands. Raises Unknown."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except FileNotFoundError:
        raise Unknown(f"no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise Unknown(f"{command[0]} did not answer within {TIMEOUT_S} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unknown(f"{command[0]}: {lines[-1]}")
    return done.stdout


def live_tasks() -> dict[str, Task]:
    """The user's array tasks that wait or run, by ARRAYJOB_TASK. Raises Unknown."""
    tasks = {}
    for line in ask(["squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%F|%K|%T|%r|%N"]).splitlines():
        job, task, state, reason, node = line.split("|", 4)
        tasks[f"{job}_{task}"] = Task(state, reason, node)
    return tasks


def past_states(jobs: Iterable[str]) -> dict[str, str]:
    """How tasks that are in the queue no more ended ("NODE_FAIL", "CANCELLED by 1000"), by accounting, or else by the
    controller's memory of some minutes; those that neither knows are left out."""
    arrays = ",".join(sorted({job.split("_")[0] for job in jobs}))
    found: dict[str, str] = {}
    for command in (
        ["squeue", "-h", "-r", "-t", "all", "-j", arrays, "-o", "%F_%K|%T"],
        ["sacct", "-n", "-X", "-P", "--array", "-j", arrays, "-o", "JobID,State"],  # accounting is often switched off
    ):
        try:
            lines = ask(command).splitlines()
        except Unknown:
            continue
        found |= {job: state for job, _, state in (line.partition("|") for line in lines)}
    return found


def mark_queued(found: Sequence[CellState]) -> list[CellState]:
    """The same states; what SLURM will still run is `queued`. Where SLURM cannot be asked, unchanged."""
    return compare(found)[0]


def compare(found: Sequence[CellState]) -> tuple[list[CellState], dict[str, str]]:
    """Our states completed by SLURM's, and a line for each cell on which the two disagree, by cell_id."""
    submitted = [s for s in found if s.status.get("job") and s.state not in ("done", "new")]
    if not submitted:
        return list(found), {}
    try:
        live = live_tasks()
    except Unknown as error:
        return list(found), {s.cell_id: f"SLURM's view is not known: {error}" for s in submitted}
    gone = [s for s in submitted if s.status["job"] not in live]
    past = past_states(s.status["job"] for s in gone) if any(s.state in ("pending", "lost") for s in gone) else {}
    result, notes = [], {}
    for s in found:
        job = s.status.get("job")
        task = live.get(job) if job else None
        if task is not None and s.state in ("pending", "preempted", "lost"):
            result.append(replace(s, state="queued"))
            notes[s.cell_id] = f"job {job}: {task.state.lower()} ({task.reason})"
            continue
        result.append(s)
        if job and s in gone and (note := _disagreement(s, job, past.get(job))):
            notes[s.cell_id] = note
    return result, notes


def _disagreement(state: CellState, job: str, past: str | None) -> str | None:
    """What to say of a cell whose job is not in the queue."""
    if state.state == "running":
        return f"runs on {state.status.get('host')}, though SLURM has no job {job}: left over from a task that ended"
    if state.state in ("pending", "lost"):
        said = "is marked running" if state.state == "lost" else "was submitted"
        return f"{said}, but SLURM's job {job} is gone{f' ({past})' if past else ''}; the next launch takes it"
    return None


def cancel(jobs: Iterable[str]) -> None:
    """Take tasks off the queue, or end them with SIGTERM. Raises Unknown."""
    ask(["scancel", *sorted(jobs)])
