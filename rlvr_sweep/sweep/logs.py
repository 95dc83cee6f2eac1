"""`logs`: the newest log of a cell, followed until the cell is over; of a sweep, how the logs of its failed cells end.

python -m rlvr_sweep logs CELL -f
python -m rlvr_sweep logs SWEEP -n 20
"""

import argparse
import codecs
import io
import re
import sys
import time
from pathlib import Path

from rlvr_sweep.errors import UserError
from rlvr_sweep.find import find_all
from rlvr_sweep.parser import Parser, natural
from rlvr_sweep.sweep.state import CellState, read, with_queue

OF_ONE, OF_EACH = 40, 5  # lines of a cell's log, and of each log of a sweep
SHORTEST, LONGEST = 1 << 16, 1 << 26  # bytes that are read from the end of a log, at first and at most
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what a terminal takes for a colour or a movement
POLL_S = 0.5
OVER = ("done", "failed", "preempted", "lost")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep logs",
        description="The newest log of a cell; of a sweep or a folder, the ends of the logs of cells that failed.",
    )
    parser.add_argument("cells", nargs="+", metavar="CELL", help="a path, an id or its beginning, a name; or a sweep")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the cell is over")
    parser.add_argument(
        "-n",
        "--lines",
        type=natural,
        metavar="LINES",
        help=f"the last LINES (default {OF_ONE}; {OF_EACH} of a sweep)",
    )
    parser.add_argument("--attempt", type=natural, metavar="N", help="the log of the cell's N-th attempt")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    return parser


def main(argv: list[str]) -> int:
    """The verb `logs`. UserError where there is no such cell, attempt or log."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a log may hold what a terminal's encoding lacks
    paths, absent = find_all(args.cells, args.runs)
    if len(paths) == 1 and not absent:
        return _one(paths[0], lines=args.lines, attempt=args.attempt, follow=args.follow)
    if args.follow or args.attempt is not None:
        option = "-f" if args.follow else "--attempt"
        raise UserError(f"{' '.join(args.cells)}: {len(paths) + len(absent)} cells; {option} takes one: write its id")
    return _several(paths, lines=OF_EACH if args.lines is None else args.lines)


def _one(path: Path, *, lines: int | None, attempt: int | None, follow: bool) -> int:
    log = _log(path, attempt)
    if log is None and follow:
        print(f"rlvr_sweep: {path}: has not started; waiting for it", file=sys.stderr)
    while log is None and follow and _state(path).state not in OVER:
        time.sleep(POLL_S)
        log = _log(path, attempt)
    if log is None:
        raise UserError(f"{path}: has no log yet ({_state(path).state}); see python -m rlvr_sweep status {_id(path)}")
    print(f"rlvr_sweep: {log}", file=sys.stderr)
    end = log.stat().st_size
    for line in last_lines(log, OF_ONE if lines is None else lines, end=end):
        print(line)
    if follow:
        _follow(path, log, end, newest_wanted=attempt is None)
    return 0


def _log(path: Path, attempt: int | None) -> Path | None:
    """The log of one attempt, or of the newest. UserError where the attempt named has none."""
    if attempt is None:
        return newest(path)
    log = path / "attempts" / str(attempt) / "log.txt"
    if log.is_file():
        return log
    there = ", ".join(str(number) for number in sorted(_logs(path))) or "none"
    raise UserError(f"{path}: attempt {attempt} has no log; attempts with one: {there}")


def _follow(path: Path, log: Path, start: int, *, newest_wanted: bool) -> None:
    """Print what is added to the log until the cell is over; go over to the log of a new attempt."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a character may be half written
    while True:
        is_over = _state(path).state in OVER  # asked before reading: what it wrote last is read after
        with log.open("rb") as file:
            file.seek(start)
            text = file.read()
        start += len(text)
        sys.stdout.write(_printable(decoder.decode(text)))
        sys.stdout.flush()
        later = newest(path) if newest_wanted else log
        if later is not None and later != log:
            print(f"rlvr_sweep: {later}", file=sys.stderr)
            log, start = later, 0
        elif is_over:
            state = _state(path)
            why = f": {state.reason}" if state.reason and state.state != "done" else ""
            print(f"rlvr_sweep: {state.state}{why}", file=sys.stderr)
            return
        else:
            time.sleep(POLL_S)


def _several(paths: list[Path], *, lines: int) -> int:
    """How the logs of those end that failed or were lost."""
    states = [state for path in paths if (state := _state(path)).state in ("failed", "lost")]
    for path, state in ((state.path, state) for state in states if state.path is not None):
        log = newest(path)
        print(f"{path.name}: {state.state}{f' ({state.reason})' if state.reason else ''}")
        print(f"  log: {log or 'none'}")
        for line in last_lines(log, lines) if log else []:
            print(f"  {line}")
    if not states:
        print(f"none of {len(paths)} cells failed or is lost; for the log of one: python -m rlvr_sweep logs CELL")
    return 0


def _state(path: Path) -> CellState:
    return with_queue([read(path)])[0]


def _id(path: Path) -> str:
    return path.name.rpartition("--")[2]


def _logs(path: Path) -> dict[int, Path]:
    """By attempt."""
    logs = [file for file in path.glob("attempts/*/log.txt") if file.parent.name.isdigit()]
    return {int(file.parent.name): file for file in logs}


def newest(path: Path) -> Path | None:
    """The log of a cell's newest attempt that left one."""
    logs = _logs(path)
    return logs[max(logs)] if logs else None


def last_lines(log: Path, count: int, *, end: int | None = None) -> list[str]:
    """The last `count` lines that hold anything, of the first `end` bytes; of a line that was drawn over again and
    again (a progress bar) its last state. Reads no more of the file than that takes."""
    end = log.stat().st_size if end is None else end
    size = SHORTEST
    with log.open("rb") as file:
        while True:
            start = max(0, end - size)
            file.seek(start)
            text = file.read(end - start).decode(errors="replace")
            drawn = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
            lines = [_printable(line) for line in drawn if line.strip()]
            if start == 0 or size >= LONGEST or len(lines) > count:  # the first of them may be the end of a longer one
                return lines[-count:] if count else []
            size *= 4


def _printable(text: str) -> str:
    """Without what would colour or steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in STEERING.sub("", text.replace("\r", "\n")))
