"""Reads one cell's directory, also while the cell runs.

    record = Record(find("3f2a", runs=Path("runs")))     # find: rlvr_sweep/find.py
    record.metrics[-1]["reward"]; record.eval_rows("math500", step=80); record.rollout_rows()

A missing file is an empty list, a half-written last line is left out; a directory of another version is refused, and so
is a done cell that has lost a file of its numbers.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import FORMAT
from rlvr_sweep.errors import UserError

NUMBERS = ("metrics.jsonl", "data.json", "evals/")


class Record:
    """The files of one cell. Raises UserError where `path` is no cell's directory, or another version's."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        file = self.path / "cell.json"
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{path}: no cell (it holds no cell.json); write the path of a directory under runs/"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: broken JSON ({error}); move the directory away and run the cell again") from None
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from None
        made_by = document.get("format") if isinstance(document, dict) else None
        if made_by != FORMAT:
            raise UserError(
                f"{path}: written in directory format {made_by}, this version reads {FORMAT}; "
                "use the version that made it"
            )
        self.document: dict[str, Any] = document
        self.cell_id: str = document["cell_id"]
        self.arm_id: str = document["arm_id"]
        self.slug: str = document["slug"]
        self.cell: dict[str, Any] = document["cell"]
        self.batch: dict[str, Any] = document["batch"]
        if lost := self._lost():
            raise UserError(f"{lost}: missing, and the cell is done; move the directory away and run the cell again")

    def _lost(self) -> Path | None:
        """What DONE names and is gone, of that which numbers are made of (completions and weights may be removed):
        without the first evaluation, the next would pass for the one before training."""
        named = [self.path / name for name in self._json("DONE") or {} if name.startswith(NUMBERS)]
        return next((path for path in named if not path.is_file()), None)

    @property
    def seed(self) -> int:
        return self.cell["seed"]

    @cached_property
    def status(self) -> dict[str, Any]:
        """status.json; without one the cell is pending."""
        return self._json("status.json") or {"state": "pending", "attempt": 0}

    @cached_property
    def state(self) -> str:
        """pending, running, preempted, failed or done; done only where DONE was written."""
        if (self.path / "DONE").is_file():
            return "done"
        state = self.status.get("state", "pending")
        return "running" if state == "done" else state

    @property
    def is_done(self) -> bool:
        return self.state == "done"

    @property
    def reason(self) -> str | None:
        """Why it failed or stopped, one line."""
        lines = str(self.status.get("reason") or "").strip().splitlines()
        return lines[0] if lines else None

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """A row an optimizer step, in order."""
        return _by_step(read_lines(self.path / "metrics.jsonl"))

    @cached_property
    def timings(self) -> list[dict[str, Any]]:
        return _by_step(read_lines(self.path / "timings.jsonl"))

    @cached_property
    def phases(self) -> dict[str, float]:
        """Seconds by phase of the last attempt that ended."""
        return self._json("phases.json") or {}

    @cached_property
    def facts_of_data(self) -> dict[str, Any]:
        """data.json: what was read and kept of each source, and the overlap of training prompts with benchmarks."""
        return self._json("data.json") or {}

    def rollouts(self) -> list[dict[str, Any]]:
        """The first metrics row of each rollout: what a rollout was like is the same in all its updates."""
        first: dict[int, dict[str, Any]] = {}
        for row in self.metrics:
            first.setdefault(row["rollout"], row)
        return [first[number] for number in sorted(first)]

    def benchmarks(self) -> list[str]:
        """Those that have rows, in the order the cell names them."""
        there = {p.parent.name for p in self.path.glob("evals/*/step-*.parquet")}
        named = [name for name in self.cell["eval"]["benchmarks"] if name in there]
        return named + sorted(there - set(named))

    def eval_steps(self, benchmark: str) -> list[int]:
        """The optimizer steps at which a benchmark was sampled; 0 is before training."""
        from rlvr_sweep.evals import rows

        return rows.steps(self.path, benchmark)

    def eval_rows(self, benchmark: str, step: int) -> list[dict[str, Any]]:
        """The rows of one benchmark at one step. UserError where the file is damaged or another version's."""
        from rlvr_sweep.evals import rows

        return rows.read(self.path, benchmark, step)

    def rollout_rows(self, part: int = -1) -> list[dict[str, Any]]:
        """The completions of one rollout file (the last by default); [] where there is none."""
        files = sorted(self.path.glob("rollouts/part-*.parquet"))
        if not files:
            return []
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(files[part]) as file:
                return file.read().to_pylist()
        except pa.ArrowInvalid as error:
            line = str(error).splitlines()[0]
            raise UserError(f"{files[part]}: not a parquet file ({line}); run the cell again") from None

    def rollout_of(self, step: int) -> float:
        """Rollouts done after `step` optimizer steps."""
        return step / self.batch["updates"]

    @cached_property
    def log(self) -> Path | None:
        """The log of the newest attempt that left one."""
        logs = [p for p in self.path.glob("attempts/*/log.txt") if p.parent.name.isdigit()]
        return max(logs, key=lambda p: int(p.parent.name), default=None)

    def log_tail(self, lines: int = 5) -> list[str]:
        """The last lines of the newest log that hold anything."""
        if self.log is None:
            return []
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - (1 << 16)))
            text = file.read().decode(errors="replace")
        return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()][-lines:]

    def _json(self, name: str) -> dict[str, Any] | None:
        file = self.path / name
        if not file.is_file():
            return None
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(f"{file}: broken JSON ({error}); delete it to see the rest") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; [] where there is none. The last line may be half-written, no other one."""
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is not complete
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            raise UserError(
                f"{path}, line {number}: broken JSON; delete the directory and run the cell again"
            ) from None
    return rows


def _by_step(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of steps; of two rows of one step the later counts."""
    last = {row["step"]: row for row in rows}
    return [last[step] for step in sorted(last)]
