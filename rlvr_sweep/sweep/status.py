"""`status`: what cells are doing, how far they are, why they failed; read from the ends of their files alone.

python -m rlvr_sweep status                       all of runs/
python -m rlvr_sweep status SWEEP --watch         drawn again every two seconds, until all are done or failed
python -m rlvr_sweep status CELL --json

A thousand cells take about a second: nothing heavier than rich is imported.
"""

import argparse
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.config.faults import shortened
from rlvr_sweep.errors import UserError
from rlvr_sweep.find import cells_in, find_all
from rlvr_sweep.parser import Parser
from rlvr_sweep.sweep.progress import ORDER, Row, rows_of
from rlvr_sweep.sweep.state import CellState, read, with_queue

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WATCH_S = 2.0
OVER = ("done", "failed")  # the others go on, or may be started again
IN_FULL = ("running", "failed", "lost", "preempted")
SHORT = 30  # so many cells are all named


@dataclass(frozen=True)
class Report:
    """The cells asked for, those of them that are shown one by one, and what could not be read, a line each."""

    rows: list[Row]
    shown: list[Row]
    faults: list[str]

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(row.state for row in self.rows)
        return {state: counted[state] for state in ORDER if counted[state]}

    @property
    def summary(self) -> str:
        """As in: 12 cells: 8 done, 4 new."""
        count = len(self.rows)
        states = ", ".join(f"{number:,} {state}" for state, number in self.counts.items())
        return f"{count:,} cell{'s' * (count != 1)}{': ' * bool(states)}{states}"

    @property
    def is_over(self) -> bool:
        return all(row.state in OVER for row in self.rows)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep status",
        description="What cells are doing: of a sweep, of single cells, or of all that lie in runs/.",
    )
    parser.add_argument(
        "cells",
        nargs="*",
        metavar="CELL",
        help="a sweep's name; a path, an id or its beginning, a part of a name; a folder",
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        const=str(WATCH_S),
        metavar="SECONDS",
        help="again and again, until all are done or failed",
    )
    parser.add_argument("--all", action="store_true", help="also name those that are done or not begun")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    return parser


def main(argv: list[str]) -> int:
    """The verb `status`. UserError where there is no such cell or sweep."""
    args = _parser().parse_args(argv)
    every = _seconds(args)
    if every is not None and args.json:
        raise UserError("--watch and --json: one draws, the other prints once; write one of them")
    if not args.cells and not args.runs.is_dir() and args.runs != Path("runs"):
        raise UserError(f"--runs {args.runs}: no such folder")

    def look() -> Report:
        return report(args.cells, args.runs, whole=args.all or args.json)

    found = look()
    if args.json:
        print(json.dumps(as_json(found), indent=1, allow_nan=False))
        return 0
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not found.rows and not found.faults:
        console.print(f"no cell in {args.runs} yet; run one with: python -m rlvr_sweep, or write --runs DIR")
        return 0
    if every is None:
        console.print(draw(found, console), soft_wrap=not console.is_terminal)
        return 0
    try:
        _watch(found, look, console, every)
    except KeyboardInterrupt:  # the way to leave it
        console.print()
    return 0


def _seconds(args: argparse.Namespace) -> float | None:
    """The time between two looks. What follows --watch and is no number is a cell (`status --watch pilot`)."""
    if args.watch is None:
        return None
    try:
        seconds = float(args.watch)
    except ValueError:
        args.cells.append(args.watch)
        return WATCH_S
    if not 0.1 <= seconds < float("inf"):
        raise UserError(f"--watch {args.watch}: write seconds, 0.1 or more")
    return seconds


def report(refs: Sequence[str], runs: Path, *, whole: bool = False) -> Report:
    """The cells that `refs` name, or all in `runs`. With `whole`, all are shown one by one.

    UserError where a ref names nothing, or nothing that was named can be read.
    """
    paths, absent = find_all(refs, runs) if refs else (cells_in(runs), [])
    states, faults = [], []
    for path in paths:
        try:
            states.append(read(path))
        except UserError as error:
            faults.append(str(error))
    states += [CellState(cell_id, None, "new", {}) for cell_id in absent]
    in_full = ORDER if whole or len(states) <= SHORT else IN_FULL
    rows, found = rows_of(with_queue(states), in_full=in_full)
    faults = shortened([*faults, *found])
    if refs and not rows:
        raise UserError("\n".join(faults))
    return Report(
        rows, [row for row in rows if row.state in in_full or (row.state == "pending" and row.reason)], faults
    )


def as_json(found: Report) -> dict[str, Any]:
    """What --json prints."""
    return {"counts": found.counts, "cells": [dataclasses.asdict(row) for row in found.rows], "faults": found.faults}


def draw(found: Report, console: "Console") -> "Text":
    """The summary, the cells that are shown, how many others there are, and what could not be read."""
    from rich.text import Text

    from rlvr_sweep.sweep.listing import listing

    lines = [Text(found.summary, style="bold")]
    if found.shown:
        lines.append(listing(found.shown, width=console.width if console.is_terminal else None))
    if hidden := len(found.rows) - len(found.shown):
        lines.append(Text(f"{hidden:,} cells that are neither running nor in trouble are not named (--all names them)"))
    lines += [Text(f"rlvr_sweep: {fault}", style="yellow") for fault in found.faults]
    return Text("\n", overflow="fold").join(lines)


def _watch(found: Report, look: Callable[[], Report], console: "Console", every: float) -> None:
    """Draw until all are over; where the output is piped, a line whenever a count changes."""
    if not console.is_terminal:
        console.print(found.summary, soft_wrap=True)
        while not found.is_over:
            time.sleep(every)
            former, found = found, look()
            if found.summary != former.summary:
                console.print(found.summary, soft_wrap=True)
        return
    from rich.live import Live

    with Live(draw(found, console), console=console, auto_refresh=False) as live:
        while not found.is_over:
            time.sleep(every)
            found = look()
            live.update(draw(found, console), refresh=True)
