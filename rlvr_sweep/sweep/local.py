"""Runs cells on this machine, one after another, each in a process tree of its own, and says how they went.

    run(compose_or_refuse(["model=lab/qwen", "seed=0,1"], multirun=True))

A cell that is done is not run again; one that stopped half way goes on from its newest complete checkpoint. Ctrl-C
once lets the running cell write a checkpoint, twice kills it.
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
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rlvr_sweep.cell_dir import ATTEMPT, CellDir, Locked
from rlvr_sweep.config.compose import Composed

FAILED, USER_ERROR, LOCKED, STOPPED = 1, 2, 3, 75  # exit codes of the worker (train/worker.py)
POLL_S = 0.1
# torchrun kills its ranks 30 s after a SIGTERM; a 7B model's step with its generation and its checkpoint takes minutes.
PATIENCE_S = "900"


def run(cells: Sequence[Composed]) -> int:
    """Run what is missing of `cells`; prints a table at the end.

    Exit code: 1 if a cell failed, else 2 for a user's mistake, else 75 if asked to stop before the end, else 0.
    """
    console = Console()
    directories = [CellDir.create(composed) for composed in cells]
    codes = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):  # each is a wish to stop, as Ctrl-C is
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)
    for number, (composed, directory) in enumerate(zip(cells, directories, strict=True), 1):
        prefix = f"[{number}/{len(directories)}] " if len(directories) > 1 else ""
        if directory.is_done:
            console.print(f"{prefix}done already: {directory.path}", soft_wrap=True, markup=False, highlight=False)
            codes.append(0)
            continue
        code, interrupted = _run_one(directory, composed, console, prefix)
        codes.append(code)
        if interrupted and number < len(directories):
            codes.append(STOPPED)  # the cells after it are not started
            break
    if codes not in ([USER_ERROR], [LOCKED]):  # said in one line; there is nothing to show
        _report(directories, console)
    return next((code for code in (FAILED, USER_ERROR, LOCKED, STOPPED) if code in codes), 0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _command(directory: CellDir) -> list[str]:
    worker = ["-m", "rlvr_sweep.train.worker", str(directory.path)]
    ranks = directory.cell.compute.ranks
    if ranks == 1:
        return [sys.executable, *worker]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
    return [sys.executable, *launch, *worker]


def _run_one(directory: CellDir, composed: Composed, console: Console, prefix: str) -> tuple[int, bool]:
    """Its exit code, and whether the user asked to stop meanwhile."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    try:
        with directory.lock():  # the worker takes it next; who comes between is told so by the worker
            directory.update(composed)
            attempt = directory.next_attempt()
    except Locked as error:
        say(f"rlvr_sweep: {error}")
        return LOCKED, False
    log = directory.path / "attempts" / str(attempt) / "log.txt"
    say(f"{prefix}{directory.path}")
    environment = os.environ | {
        ATTEMPT: str(attempt),
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": PATIENCE_S,
    }
    with log.open("w") as file:
        # A session of its own: Ctrl-C reaches us alone, and we pass on one SIGTERM, not one a rank and library.
        process = subprocess.Popen(
            _command(directory), stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            interrupts = _watch(process, directory, console)
        finally:
            if process.poll() is None:  # we fail ourselves: nothing is left behind
                _pass_on(process, signal.SIGKILL)
                process.wait()
    code = _settle(directory, process.returncode, attempt, interrupted=interrupts > 0)
    if code == LOCKED:
        say(log.read_text().strip())
    elif code:
        status = directory.read_status()
        message = f"{status['state']}: {status.get('reason')}"
        if code == FAILED:
            message += f"  (log: {log})"
        for line in message.splitlines():
            say(f"rlvr_sweep: {line}")
    return code, interrupts > 0


def _settle(directory: CellDir, code: int, attempt: int, *, interrupted: bool) -> int:
    """The exit code of a cell whose process has ended, and a status for what could not write one itself."""
    if code in (0, LOCKED):
        return code
    status = directory.read_status()
    if status.get("attempt") == attempt and status["state"] != "running":
        return status.get("exit", FAILED)  # torchrun hides the worker's own code
    if interrupted:  # before it could checkpoint, or killed
        reason = "interrupted; start it again and it goes on"
        directory.status(state="preempted", attempt=attempt, reason=reason, finished=time.time())
        return STOPPED
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    directory.status(state="failed", attempt=attempt, reason=f"ended by {name}", finished=time.time())
    return FAILED


def _watch(process: subprocess.Popen, directory: CellDir, console: Console) -> int:
    """A progress bar until the process ends; Ctrl-C is passed on as SIGTERM, the second time as SIGKILL.

    Returns how many.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} updates"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
        console=console,
        disable=not console.is_terminal,
    )
    tail, interrupts = Tail(directory.path / "metrics.jsonl"), 0
    with bar:
        task = bar.add_task("starting", total=directory.document["batch"]["optimizer_steps"], numbers="")
        while process.poll() is None:
            try:
                _update(bar, task, directory, tail)
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                interrupts += 1
                _pass_on(process, signal.SIGTERM if interrupts == 1 else signal.SIGKILL)
                said = "stopping after this update; Ctrl-C again kills it" if interrupts == 1 else "killed"
                console.print(f"rlvr_sweep: {said}", highlight=False)
        _update(bar, task, directory, tail)
    return interrupts


def _pass_on(process: subprocess.Popen, number: int) -> None:
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)  # torchrun passes it on to its ranks


def _update(bar: Progress, task: TaskID, directory: CellDir, tail: "Tail") -> None:
    rows = tail.read()
    phase = directory.read_status().get("phase") or "starting"
    bar.update(task, description=phase)
    if rows:
        last = rows[-1]
        shown = {"reward": "reward", "accuracy/ground_truth": "accuracy", "code_frequency": "code"}
        numbers = "  ".join(f"{name} {last[key]:.2f}" for key, name in shown.items() if last.get(key) is not None)
        bar.update(task, completed=last["step"], numbers=numbers)


class Tail:
    """The new complete lines of a growing JSON-lines file."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0

    def read(self) -> list[dict]:
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._at:  # a resume has cut it back to its checkpoint
            self._at = 0
        if size == self._at:
            return []
        with self.path.open() as file:
            file.seek(self._at)
            text = file.read()
        complete = text[: text.rfind("\n") + 1]
        self._at += len(complete.encode())
        return [json.loads(line) for line in complete.splitlines()]


def _report(directories: Sequence[CellDir], console: Console) -> None:
    from rlvr_sweep.report.commands import show_end

    show_end([directory.path for directory in directories], console)
