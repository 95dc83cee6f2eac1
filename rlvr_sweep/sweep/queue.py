"""SLURM's view of cells, beside our own: what waits in its queue, and where the two disagree.

    completed(states)          # pending -> queued; note="is marked running, but SLURM's job 5_3 is gone (NODE_FAIL)"

The record of a cell is its directory; SLURM only explains what is missing there. Where it cannot be asked (no squeue on
this machine, no controller), the states stay as they are, and a note says why.
"""

import os
import re
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


def seconds_of(text: str) -> int | None:
    """[days-][hours:]minutes:seconds; None: it is none, as in UNLIMITED."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


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


def completed(found: Sequence[CellState]) -> list[CellState]:
    """The same states: what SLURM will still run is `queued`, and a note says where the two records disagree."""
    submitted = [s for s in found if s.status.get("job") and s.state not in ("done", "new")]
    if not submitted:
        return list(found)
    try:
        live = live_tasks()
    except Unknown as error:
        told = {s.cell_id for s in submitted if s.state in ("pending", "lost", "running")}
        return [replace(s, note=f"SLURM's view is not known: {error}") if s.cell_id in told else s for s in found]
    gone = {s.status["job"] for s in submitted if s.status["job"] not in live and s.state in ("pending", "lost")}
    past = past_states(gone) if gone else {}
    return [_completed(s, live, past) if s in submitted else s for s in found]


def _completed(state: CellState, live: dict[str, Task], past: dict[str, str]) -> CellState:
    job = state.status["job"]
    task = live.get(job)
    if task is None:
        note = _disagreement(state, job, past.get(job))
        return replace(state, note=note) if note else state
    if state.state in ("pending", "preempted", "lost"):
        return replace(state, state="queued", note=f"job {job}: {task.state.lower()} ({task.reason})")
    return state


def _disagreement(state: CellState, job: str, past: str | None) -> str | None:
    """What to say of a cell whose job is not in the queue."""
    if state.state == "running":
        return f"runs on {state.status.get('host')}, though SLURM has no job {job}: left over from a task that ended"
    if state.state in ("pending", "lost"):
        said = "is marked running" if state.state == "lost" else "was submitted"
        log = f"; its log: {state.status['job_log']}" if state.status.get("job_log") else ""
        return f"{said}, but SLURM's job {job} is gone{f' ({past})' if past else ''}; the next launch takes it{log}"
    return None


def cancel(jobs: Iterable[str]) -> None:
    """Take what waits off the queue; tell what runs to checkpoint and end. Raises Unknown.

    scancel alone would kill a running task some seconds later (KillWait), whatever its cells have to save. And a
    signal to an array some of whose tasks still wait hangs, so those go first.
    """
    live = live_tasks()
    running = sorted(job for job in jobs if job in live and live[job].state == "RUNNING")
    waiting = sorted(job for job in jobs if job in live and live[job].state != "RUNNING")
    if waiting:
        ask(["scancel", *waiting])
    if running:
        ask(["scancel", "--signal=TERM", "--batch", *running])
