"""Rows of cells as aligned lines, reasons below them; where the terminal is narrow, each cell on lines of its own.

console.print(listing(rows, width=console.width))
"""

from collections.abc import Sequence

from rich.text import Text

from rlvr_sweep.sweep.progress import Row

STYLES = {"running": "cyan", "failed": "red", "lost": "red", "preempted": "yellow", "done": "green"}
HEADS = ("step", "s/step", "left", "reward", "accuracy")
STATE = 9  # the longest state's characters
FOOT = "left: the training steps alone, without evaluations"


def listing(rows: Sequence[Row], *, width: int | None) -> Text:
    """`width` is the terminal's; None where lines may be as long as they like (a pipe)."""
    if not rows:
        return Text()
    name = max(len(row.name) for row in rows)
    numbers = [_numbers(row) for row in rows]
    widths = [max(len(head), *(len(line[at]) for line in numbers)) for at, head in enumerate(HEADS)]
    notes = [_note(row) for row in rows]
    is_wide = width is None or STATE + 2 + name + sum(2 + w for w in widths) + max(map(len, notes)) + 2 <= width
    lines = [_head(name, widths)] if is_wide else []
    for row, number, note in zip(rows, numbers, notes, strict=True):
        line = Text(f"{row.state:<{STATE}}", style=STYLES.get(row.state, ""))
        if is_wide:
            aligned = "".join(f"  {text:>{w}}" for text, w in zip(number, widths, strict=True))
            lines.append(Text.assemble(line, (f"  {row.name:<{name}}{aligned}  {note}".rstrip(), "default")))
        else:
            lines.append(Text.assemble(line, (f"  {row.name}", "default")))
            said = [f"{head} {text}" for head, text in zip(HEADS, number, strict=True) if text != "-"]
            lines += [_below(", ".join([*said, note] if note else said))] if said or note else []
        lines += _why(row)
    if any(row.seconds_left is not None for row in rows):
        lines.append(Text(FOOT, style="dim"))
    return Text("\n", overflow="fold").join(lines)


def _head(name: int, widths: Sequence[int]) -> Text:
    heads = "".join(f"  {head:>{w}}" for head, w in zip(HEADS, widths, strict=True))
    return Text(f"{'':<{STATE}}  {'':<{name}}{heads}", style="dim")


def _numbers(row: Row) -> list[str]:
    step = f"{row.step}/{'?' if row.steps is None else row.steps}" if row.step is not None else "-"
    left = "-" if row.seconds_left is None else duration(row.seconds_left)
    return [step, _seconds(row.seconds_per_step), left, _share(row.reward), _share(row.accuracy)]


def _note(row: Row) -> str:
    """What is not as usual: what it does besides training, how often it was begun, what SLURM calls it."""
    notes = [row.phase] if row.phase and row.phase != "train" else []
    notes += [f"attempt {row.attempt}"] if row.attempt and row.attempt > 1 else []
    notes += [f"failed {row.failures} times"] if row.failures > 1 else []
    notes += [f"job {row.job}"] if row.job and row.state != "done" else []
    return ", ".join(notes)


def _why(row: Row) -> list[Text]:
    """The reason, and the last line of the log where it says more."""
    lines = [_below(row.reason)] if row.reason else []
    if row.log and row.state in ("failed", "lost"):
        lines.append(_below(f"log: {row.log}"))
        lines += [_below(f"  {row.last_line}")] if row.last_line and row.last_line != row.reason else []
    return lines


def _below(text: str) -> Text:
    return Text(f"{'':<{STATE}}    {text}", style="dim")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.{2 if seconds < 10 else 1 if seconds < 100 else 0}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def duration(seconds: float) -> str:
    """In its largest unit: "45 s", "12 min", "3.5 h", "2.1 days"."""
    for size, unit in ((86400, "days"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
