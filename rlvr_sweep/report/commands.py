"""`show`: what ran in a cell, or in several, and what came out.

python -m rlvr_sweep show CELL                 a path, an id or the beginning of one, or a part of the name
python -m rlvr_sweep show CELL CELL ... | runs | SWEEP          the table of several cells
python -m rlvr_sweep show CELL --json
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.parser import Parser, natural

if TYPE_CHECKING:
    from rich.console import Console

    from rlvr_sweep.report.record import Record

SUMMARY, PICTURE = "summary.json", "figure.png"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep show",
        description="What ran in a cell and what came out; of several cells, or a sweep, the table of all.",
    )
    parser.add_argument(
        "cells",
        nargs="+",
        metavar="CELL",
        help="a path, an id or its beginning, a part of the name; a folder of cells; a sweep's name",
    )
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument(
        "--samples",
        type=natural,
        default=1,
        metavar="N",
        help="print N right and N wrong completions (default 1)",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    return parser


def main(argv: list[str]) -> int:
    """The verb `show`. UserError where there is no such cell."""
    args = _parser().parse_args(argv)
    from rich.console import Console

    from rlvr_sweep.find import find_all
    from rlvr_sweep.report.record import Record

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # completions hold what a terminal's encoding may lack
    paths, absent = find_all(args.cells, args.runs)
    one = Record(paths[0]) if len(paths) == 1 and not absent else None
    if args.json:
        _print_json(one, paths)
        return 0
    console = Console(highlight=False, markup=False)
    if one is None:
        _show_grid(paths, console)
        if absent:
            console.print(f"not begun: {len(absent)} cells of the sweep ({', '.join(absent[:5])} ...)")
        return 0
    from rlvr_sweep.report.samples import samples

    _show_one(one, console)
    _show_failure(one, console)
    for text in samples(one, each=args.samples):
        console.print(text)
    return 0


def show_end(paths: Sequence[Path], console: "Console") -> None:
    """What a run prints at its end: the table of its only cell, or that of all its cells."""
    from rlvr_sweep.report.record import Record

    console.print()
    if len(paths) == 1:
        _show_one(Record(paths[0]), console)
    else:
        _show_grid(paths, console)


def _print_json(one: "Record | None", paths: Sequence[Path]) -> None:
    from rlvr_sweep.report.facts import facts
    from rlvr_sweep.report.grid import grid_rows
    from rlvr_sweep.shown import as_json

    sys.stdout.write(as_json(facts(one) if one else grid_rows(paths)))


def _show_one(record: "Record", console: "Console") -> None:
    from rlvr_sweep.report.facts import facts
    from rlvr_sweep.report.table import table

    found = facts(record)
    console.print(table(record, found, figure=_keep(record, found, console)), crop=False)


def _show_grid(paths: Sequence[Path], console: "Console") -> None:
    from rlvr_sweep.report.grid import grid

    console.print(grid(paths), crop=False)
    console.print("one cell: python -m rlvr_sweep show CELL", markup=False, highlight=False)


def _keep(record: "Record", found: dict[str, Any], console: "Console") -> Path | None:
    """Write picture and summary beside the record. The picture's path; None: nothing to draw, or no right to write."""
    from rlvr_sweep.cell_dir import replaced
    from rlvr_sweep.errors import UserError
    from rlvr_sweep.report.figure import figure, is_fresh
    from rlvr_sweep.shown import as_json

    picture = record.path / PICTURE
    if not record.metrics and not record.benchmarks():
        return None
    if is_fresh(record, picture):
        return picture
    try:
        with replaced(record.path / SUMMARY) as partial:
            partial.write_text(as_json(found))
        return figure(record, picture)
    except UserError as error:  # another user's record can be read all the same
        console.print(str(error), style="yellow", soft_wrap=True, markup=False, highlight=False)
        return None


def _show_failure(record: "Record", console: "Console") -> None:
    """Of a failed cell: the end of its log."""
    if record.state != "failed" or record.log is None:
        return
    from rich.text import Text

    from rlvr_sweep.shown import shown

    console.print(f"\nlog: {shown(record.log)}, its end:", style="red", soft_wrap=True)
    for line in record.log_tail():
        console.print(Text(f"  {line}", overflow="fold"))
