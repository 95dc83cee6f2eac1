"""A few completions of a cell to read: right ones and wrong ones, of the last rollout or else of the last evaluation.

for sample in samples(record, each=2): console.print(sample)
"""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from rlvr_sweep.report.record import Record
from rlvr_sweep.shown import percent

LONGEST = 2000  # characters of one completion


def samples(record: Record, *, each: int) -> list[Text]:
    """`each` right and `each` wrong completions (as many as there are), with a line above them that says whence."""
    if each < 1:
        return []
    rows, whence = _rows(record)
    if not rows:
        return [Text("no completions yet")]
    found = [Text(f"completions of {whence}, oracle {percent(_share(rows))}% right", style="bold")]
    for correct, name in ((True, "right"), (False, "wrong")):
        those = [row for row in rows if row["correct"] is correct]
        for row in those[:: max(1, len(those) // each)][:each]:  # spread over the prompts, the same ones every time
            found.append(_one(row, name))
    return found


def _rows(record: Record) -> tuple[list[dict[str, Any]], str]:
    if rows := record.rollout_rows():
        return rows, f"rollout {rows[0]['rollout']}"
    for name in record.benchmarks():
        step = record.eval_steps(name)[-1]
        return record.eval_rows(name, step), f"{name} at update {step}"
    return [], ""


def _share(rows: Sequence[dict[str, Any]]) -> float | None:
    known = [row["correct"] for row in rows if row["correct"] is not None]
    return sum(known) / len(known) if known else None


def _one(row: dict[str, Any], verdict: str) -> Text:
    title = (
        f"\n{verdict}: answer {row['answer']}, gold {row.get('gold', '-')} ({row['reason']}), {row['tokens']} tokens"
    )
    if row.get("reward") is not None:
        title += f", reward {row['reward']:g}"
    if row["truncated"]:
        title += ", truncated"
    text = Text(_printable(title), style="green" if verdict == "right" else "red")
    if row.get("prompt"):
        text.append(f"\n{_printable(row['prompt'])}", style="dim")
    return text.append(f"\n{_printable(row['text'])}", style="not dim default")


def _printable(text: str) -> str:
    """Without what would steer a terminal, and of a bearable length."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
