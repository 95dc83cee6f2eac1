"""What a user sees while cells run: bars on a terminal, plain lines where the output is piped.

with View(console, total=8) as view:
    view.started(process); view.update([process, ...]); view.ended(process, code)
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rlvr_sweep.protocol import FAILED, LOCKED
from rlvr_sweep.sweep.process import CellProcess

SHOWN = {"reward": "reward", "accuracy/ground_truth": "accuracy", "code_frequency": "code"}


class View:
    """Progress of the running cells. `total` is how many there are to run."""

    def __init__(self, console: Console, *, total: int) -> None:
        self._console, self._total, self._begun, self._over = console, total, 0, 0
        self._bars: dict[CellProcess, tuple[TaskID, Tail]] = {}
        # Refreshed by hand: a thread of rich's own would make the fork of the next cell unsafe.
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self._cells = self._progress.add_task("all", total=total, unit="cells", numbers="") if total > 1 else None

    def __enter__(self) -> "View":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def started(self, process: CellProcess) -> None:
        self._begun += 1
        directory = process.directory
        if self._total == 1:
            self.say(str(directory.path))
        elif not self._console.is_terminal:
            self.say(f"[{self._begun}/{self._total}] start  {directory.path.name}")
        total = directory.document["batch"]["optimizer_steps"]
        task = self._progress.add_task("starting", total=total, unit="updates", numbers="")
        self._bars[process] = task, Tail(directory.path / "metrics.jsonl")

    def update(self, processes: Iterable[CellProcess]) -> None:
        """Read what the running cells wrote, and draw."""
        if not self._console.is_terminal:
            return
        for process in processes:
            task, tail = self._bars[process]
            phase = process.directory.read_status().get("phase") or "starting"
            name = "" if self._total == 1 else f"{process.directory.path.name[:48]}  "
            self._progress.update(task, description=f"{name}{phase}")
            if rows := tail.read():
                last = rows[-1]
                numbers = "  ".join(f"{n} {last[key]:.2f}" for key, n in SHOWN.items() if last.get(key) is not None)
                self._progress.update(task, completed=last["step"], numbers=numbers)
        self._progress.refresh()

    def ended(self, process: CellProcess, code: int) -> None:
        """Its line, and the end of its bar."""
        self._over += 1
        task, _ = self._bars.pop(process)
        if self._total > 1:
            self._progress.remove_task(task)
        if self._cells is not None:
            self._progress.update(self._cells, completed=self._over)
        directory = process.directory
        if code == LOCKED:
            self.say(process.log.read_text(errors="replace").strip())
            return
        status = directory.read_status()
        if code:
            reason = f"{status['state']}: {status.get('reason')}"
            if code == FAILED:
                reason += f"  (log: {process.log})"
            name = "" if self._total == 1 else f"{directory.path.name}: "
            for line in reason.splitlines():
                self.say(f"rlvr_sweep: {name}{line}")
        elif self._total > 1:
            seconds = time.monotonic() - process.began
            self.say(f"[{self._over}/{self._total}] done   {directory.path.name}  {seconds:.0f} s")

    def stopping(self, times: int) -> None:
        """What a first and a second Ctrl-C do."""
        what = "stopping after this update; Ctrl-C again kills" if times == 1 else "killed"
        self.say(f"rlvr_sweep: {what}")


class Tail:
    """The new complete lines of a growing JSON-lines file."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0

    def read(self) -> list[dict[str, Any]]:
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._at:  # a resume has cut it back to its checkpoint
            self._at = 0
        if size == self._at:
            return []
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._at += len(data)
        complete = data.decode(errors="replace")
        return [row for line in complete.splitlines() if (row := _parsed(line)) is not None]


def _parsed(line: str) -> dict[str, Any] | None:
    """A row, or None: a picture of progress does without a damaged one, and the cell itself names it."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None
