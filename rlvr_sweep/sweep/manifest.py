"""The record of a sweep: runs/_sweeps/<name>/manifest.jsonl lists its cells, sweep.json says what was typed.

    manifest = Manifest.record([row(cell) for cell in cells], runs=Path("runs"), name="pilot", command=sys.argv[1:])
    Manifest.open("pilot", runs=Path("runs")).rows

A sweep is only a list: its cells lie in runs/ like all others, and belong to as many sweeps as name them. A sweep that
is run again under its name with more cells grows by them; nothing is ever taken off the list.
"""

import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.cell_dir import write_atomically
from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed

SWEEPS = "_sweeps"


@contextmanager
def planning(runs: Path) -> Iterator[None]:
    """One launch at a time looks at `runs` and takes what is missing: two at once would both queue it.

    UserError where it, or what is done meanwhile, cannot write there.
    """
    try:
        (runs / SWEEPS).mkdir(parents=True, exist_ok=True)
        with (runs / SWEEPS / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"rlvr_sweep: {runs}: waiting for another launch to be planned", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{runs}: cannot be written ({reason}); write runs=DIR with a folder of yours") from None


class Manifest:
    """A sweep's directory. Raises UserError where a line of it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        file = path / "manifest.jsonl"
        self.rows: list[dict[str, Any]] = []
        for number, line in enumerate(file.read_text().splitlines() if file.is_file() else [], 1):
            row = _parsed(line)
            if row is None:
                raise UserError(
                    f"{file}, line {number}: broken JSON; move the file away and run the sweep's command again "
                    "(its cells are safe in their own directories)"
                )
            self.rows.append(row)

    @property
    def ref(self) -> str:
        """What to type for this sweep behind `status`, `retry`, ...: its name, or its path where runs lie elsewhere."""
        return self.name if self.path.parents[1] == Path("runs") else str(self.path)

    @classmethod
    def open(cls, name: str, *, runs: Path) -> "Manifest":
        """A sweep by its name."""
        path = runs / SWEEPS / name
        if not (path / "manifest.jsonl").is_file():
            known = names(runs)
            hint = nearest(name, known) if known else "there is none yet: run one with -m"
            raise UserError(f"{name}: no sweep of that name in {runs}; {hint}")
        return cls(path)

    @classmethod
    def record(
        cls, rows: Sequence[dict[str, Any]], *, runs: Path, name: str | None, command: Sequence[str]
    ) -> "Manifest":
        """Make the sweep of these cells (see `row`), or let it grow by those it does not list yet. Without a name it
        is called after its cells."""
        path = runs / SWEEPS / name_of((row["cell_id"] for row in rows), name)
        path.mkdir(parents=True, exist_ok=True)
        manifest = cls(path)
        known = {row["cell_id"] for row in manifest.rows}
        manifest.rows += [row for row in rows if row["cell_id"] not in known]
        write_atomically(path / "manifest.jsonl", "".join(json.dumps(row) + "\n" for row in manifest.rows))
        manifest._note(list(command))
        return manifest

    def _note(self, command: list[str]) -> None:
        """Keep what was typed, newest last."""
        file = self.path / "sweep.json"
        document: dict[str, Any] = {"name": self.name, "commands": []}
        if file.is_file():
            try:
                document["commands"] = list(json.loads(file.read_text())["commands"])
            except (ValueError, KeyError, TypeError):  # only a note: set aside, and begun anew
                file.replace(file.with_name("sweep.json.damaged"))
        document["commands"].append({"time": time.time(), "argv": command})
        write_atomically(file, json.dumps(document, indent=1) + "\n")


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of a manifest, if it names a cell."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("cell_id"), str) else None


def row(cell: "Composed") -> dict[str, Any]:
    """A cell in a manifest."""
    overrides = [line.lstrip("+") for line in cell.overrides]
    return {"cell_id": cell.cell_id, "arm_id": cell.arm_id, "slug": cell.slug, "overrides": overrides}


def names(runs: Path) -> list[str]:
    """The sweeps under `runs`."""
    return sorted(p.parent.name for p in (runs / SWEEPS).glob("*/manifest.jsonl"))


def name_of(cell_ids: Iterable[str], name: str | None) -> str:
    """What a sweep is called: as the user says, or after its cells."""
    return name or "grid-" + hashlib.sha256("\n".join(sorted(cell_ids)).encode()).hexdigest()[:8]
