"""How far a cell is, from the ends of its files: step of steps, seconds a step, time left, last reward and accuracy.

    rows, faults = rows_of([read(path, cell_id)], in_full=ORDER)
    rows[0].step, rows[0].seconds_left

Times are the cell's own durations, never a difference between two hosts' clocks. What cannot be read is a fault, one
line, and None in the row; nothing is guessed.
"""

import json
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.logs import last_lines, newest
from rlvr_sweep.sweep.state import CellState, Name

ORDER: tuple[Name, ...] = ("running", "failed", "lost", "preempted", "queued", "pending", "new", "done")
TAIL = 1 << 14  # bytes: some sixty steps of timings.jsonl
AGAIN = "move the directory away and run the cell again"


@dataclass(frozen=True)
class Row:
    """What `status` says of a cell. Seconds; shares between 0 and 1; None is what is not known."""

    cell_id: str
    arm_id: str | None
    name: str
    path: str | None
    state: Name
    phase: str | None = None
    attempt: int | None = None
    failures: int = 0
    step: int | None = None
    steps: int | None = None
    seconds_per_step: float | None = None
    seconds_left: float | None = None  # of training steps alone
    reward: float | None = None
    accuracy: float | None = None
    reason: str | None = None
    log: str | None = None
    last_line: str | None = None
    job: str | None = None
    host: str | None = None
    pid: int | None = None
    started: float | None = None
    updated: float | None = None
    finished: float | None = None


def rows_of(states: Sequence[CellState], *, in_full: Collection[Name]) -> tuple[list[Row], list[str]]:
    """A row each, in the order of ORDER and then by name, and what is wrong. Those in states that are not
    `in_full` lack what costs time: pace, time left and log.

    A cell whose cell.json cannot be read, or is of another version, has no row, only its fault.
    """
    rows, faults = [], []
    for state in states:
        try:
            row, found = _row(state, is_whole=state.state in in_full)
        except UserError as error:
            faults += str(error).splitlines()
        except OSError as error:
            faults.append(f"{error.filename or state.path}: cannot be read ({error.strerror})")
        else:
            rows.append(row)
            faults += found
    return sorted(rows, key=lambda row: (ORDER.index(row.state), row.name)), faults


def _row(state: CellState, *, is_whole: bool) -> tuple[Row, list[str]]:
    path, status, faults = state.path, state.status, []
    if path is None:
        return Row(state.cell_id, None, state.cell_id, None, state.state), []
    document = document_of(path)
    batch = document["batch"]
    if status.get("damaged"):
        faults.append(f"{path / 'status.json'}: damaged; the next start of the cell sets it aside")
    last, fault = _last_row(path / "metrics.jsonl", is_done=state.state == "done")
    faults += [fault] if fault else []
    steps = _number(batch.get("optimizer_steps"), int)
    step = _number(last.get("step"), int)
    if state.state == "done" and not fault and (step or 0) != steps:
        faults.append(f"{path / 'metrics.jsonl'}: ends at step {step or 0} of {steps}, and the cell is done; {AGAIN}")
    row = Row(
        cell_id=state.cell_id,
        arm_id=document.get("arm_id"),
        name=path.name,
        path=str(path),
        state=state.state,
        phase=status.get("phase") if state.state == "running" else None,
        attempt=_number(status.get("attempt"), int) or None,
        failures=_number(status.get("failures"), int) or 0,
        step=step if step is not None else _number(status.get("step"), int) or 0,
        steps=steps,
        reward=_number(last.get("reward"), float),
        accuracy=_number(last.get("accuracy/ground_truth"), float),
        reason=state.reason if state.state != "done" else None,
        job=str(status["job"]) if status.get("job") else None,
        host=status.get("host"),
        pid=_number(status.get("pid"), int),
        started=_number(status.get("started"), float),
        updated=_number(status.get("updated"), float),
        finished=_number(status.get("finished"), float),
    )
    return _detailed(row, path, updates=batch.get("updates")) if is_whole else row, faults


def document_of(path: Path) -> dict[str, Any]:
    """What cell.json holds. UserError where it is damaged, or of another version."""
    document = CellDir(path).document
    if not isinstance(document.get("batch"), dict):
        raise UserError(f"{path / 'cell.json'}: damaged; {AGAIN}")
    return document


def _detailed(row: Row, path: Path, *, updates: int | None) -> Row:
    """With what only a cell that is shown needs."""
    pace = seconds_per_step(map(_parsed, _lines(path / "timings.jsonl")[0]), updates=updates)
    left = None
    if row.state == "running" and pace is not None and row.step is not None and row.steps is not None:
        left = pace * max(0, row.steps - row.step)
    log = newest(path) if row.state in ("failed", "lost", "preempted", "running") else None
    lines = last_lines(log, 1) if log else []
    return replace(
        row,
        seconds_per_step=pace,
        seconds_left=left,
        log=str(log) if log else None,
        last_line=lines[-1].strip() if lines else None,
    )


def seconds_per_step(rows: Iterable[dict[str, Any] | None], *, updates: int | None) -> float | None:
    """Wall seconds of an optimizer step: the median over the last rollouts, each with the seconds of its generation
    shared out over its updates. Of the first rollout, while it is not over, what there is."""
    by_rollout: dict[Any, list[float]] = {}
    for row in rows:
        seconds = _number((row or {}).get("seconds/step"), float)
        if row and seconds is not None:
            by_rollout.setdefault(row.get("rollout"), []).append(seconds)
    whole = [statistics.fmean(steps) for steps in by_rollout.values() if len(steps) == updates]
    if whole:
        return statistics.median(whole)
    some = [seconds for steps in by_rollout.values() for seconds in steps]
    return statistics.fmean(some) if some else None


def _last_row(file: Path, *, is_done: bool) -> tuple[dict[str, Any], str | None]:
    """The last complete row that can be read, and what is wrong. Only one that is not done may end in half a line."""
    try:
        lines, is_torn = _lines(file)
    except OSError as error:
        return {}, f"{file}: cannot be read ({error.strerror})"
    fault = f"{file}: ends in the middle of a line, and the cell is done; {AGAIN}" if is_torn and is_done else None
    for line in reversed(lines):
        row = _parsed(line)
        if row is not None:
            return row, fault
        fault = f"{file}: its last lines are damaged; {AGAIN}"
    return {}, fault


def _lines(file: Path) -> tuple[list[bytes], bool]:
    """The last complete lines of a file, and whether half of one follows; none where there is no file."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            start = max(0, size - TAIL)
            opened.seek(start)
            text = opened.read()
    except FileNotFoundError:
        return [], False
    *lines, rest = text.split(b"\n")
    return (lines[1:] if start else lines), bool(rest)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # also bytes that are no UTF-8
        return None
    return row if isinstance(row, dict) else None


def _number(value: Any, kind: type) -> Any:
    """`value` where it is a number: what others wrote may hold anything."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return kind(value) if is_number else None
