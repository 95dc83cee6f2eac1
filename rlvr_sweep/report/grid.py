"""The table of several cells: rows are data x reward, columns are models, seeds of one arm are taken together.

    console.print(grid([Path("runs/a--..."), ...]), crop=False)
    json.loads(as_json(grid_rows(paths)))       # one mapping an arm and benchmark

Intervals are over questions and seeds (two-way). Only cells that are done count; the others are named, with reasons.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rlvr_sweep.report.arms import labels
from rlvr_sweep.report.record import Record
from rlvr_sweep.report.table import change, columns
from rlvr_sweep.shown import percent

NAMED = 20  # cells that are not done, named under the table
SIDES = {"accuracy": "correct", "code": "has_code"}


def grid(paths: Iterable[Path]) -> "Grid":
    """The table of these cells as a renderable; print it with crop=False. UserError where one is no cell."""
    records = _records(paths)
    return Grid(_rows(records), [record for record in records if not record.is_done])


def grid_rows(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """One mapping an arm and benchmark: labels, seeds, estimates of accuracy and code share before, after and of the
    change (None without a finished cell), and the cells that are not done."""
    return _rows(_records(paths))


def _records(paths: Iterable[Path]) -> list[Record]:
    """Each cell once, in the order given."""
    found: dict[str, Record] = {}
    for path in paths:
        record = Record(path)
        found.setdefault(record.cell_id, record)
    return list(found.values())


def _rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    arms: dict[str, list[Record]] = {}
    for record in records:
        arms.setdefault(record.arm_id, []).append(record)
    names = labels([members[0] for members in arms.values()])
    rows = []
    for arm_id, members in arms.items():
        done = [record for record in members if record.is_done]
        for benchmark in list(members[0].cell["eval"]["benchmarks"]) or [None]:
            rows.append(
                {
                    **names[arm_id].as_dict(),
                    "arm_id": arm_id,
                    "benchmark": benchmark,
                    "seeds": sorted(record.seed for record in done),
                    **_estimates(done, benchmark),
                    "not_done": [
                        {"cell_id": r.cell_id, "seed": r.seed, "state": r.state, "reason": r.reason}
                        for r in members
                        if not r.is_done
                    ],
                }
            )
    return rows


def _estimates(done: Sequence[Record], benchmark: str | None) -> dict[str, Any]:
    """Accuracy and code share before, after and their change, over all seeds of one arm."""
    found: dict[str, Any] = {f"{key}_{side}": None for key in SIDES for side in ("before", "after", "change")}
    if benchmark is None or not done:
        return found
    from rlvr_sweep.evals import statistics

    before, after = _read(done, benchmark, first=True), _read(done, benchmark, first=False)
    for key, verdict in SIDES.items():
        if before:
            found[f"{key}_before"] = statistics.accuracy(before, verdict=verdict)
        if after:
            found[f"{key}_after"] = statistics.accuracy(after, verdict=verdict)
        if before and after:
            found[f"{key}_change"] = statistics.paired_difference(before=before, after=after, verdict=verdict)
    return found


def _read(done: Sequence[Record], benchmark: str, *, first: bool) -> list[dict[str, Any]]:
    """The rows before training or at the last step, of all these cells, with the columns the statistics need."""
    kept = ("question_id", "seed", *SIDES.values())
    rows = []
    for record in done:
        steps = record.eval_steps(benchmark)
        step = next((s for s in (steps if first else reversed(steps)) if (s == 0) == first), None)
        if step is not None:
            rows += [{key: row[key] for key in kept} for row in record.eval_rows(benchmark, step)]
    return rows


class Grid:
    """The rows as tables, one a benchmark: models side by side where the console is wide enough, else in lines."""

    def __init__(self, rows: Sequence[dict[str, Any]], not_done: Sequence[Record]) -> None:
        self.rows, self.not_done = rows, not_done

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for benchmark in dict.fromkeys(row["benchmark"] for row in self.rows):
            rows = [row for row in self.rows if row["benchmark"] == benchmark]
            yield Text(_title(benchmark), style="bold")
            wide = _wide(rows)
            needs = Measurement.get(console, options.update(width=10_000), wide).maximum
            yield wide if needs <= options.max_width else Text("\n").join([*_long(rows), Text()])
        if any(len(row["seeds"]) == 1 for row in self.rows):
            yield Text("with 1 seed an interval speaks of that checkpoint only, not of the method")
        if self.not_done:
            yield Text(f"not done: {len(self.not_done)} of these cells")
        for record in self.not_done[:NAMED]:
            why = f" ({record.reason})" if record.reason else ""
            style = "red" if record.state == "failed" else "yellow"
            yield Text(f"  {record.path.name}: {record.state}{why}", style=style, overflow="fold")
        if len(self.not_done) > NAMED:
            yield Text(f"  and {len(self.not_done) - NAMED} more")


def _title(benchmark: str | None) -> str:
    if benchmark is None:
        return "no benchmark (eval=none)"
    return f"{benchmark}: percent, before -> after; change with 95% interval over questions and seeds"


def _wide(rows: Sequence[dict[str, Any]]) -> Table:
    """Models side by side."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    made = columns("data / reward", *models)
    for arm in dict.fromkeys(row["row"] for row in rows):
        cells = {row["model"]: _cell(row) for row in rows if row["row"] == arm}
        made.add_row(arm, *(cells.get(model, Text("")) for model in models))
        made.add_row()
    return made


def _cell(row: dict[str, Any]) -> Text:
    lines = [
        Text(_arrow(row, "accuracy")),
        change(row["accuracy_change"]),
        Text(f"code {_arrow(row, 'code')}"),
        _seeds(row),
    ]
    return Text("\n").join(lines if row["seeds"] else lines[-1:])


def _long(rows: Sequence[dict[str, Any]]) -> list[Text]:
    """Models below each other, under their data / reward: lines, since a heading must not widen a column."""
    table = [["model", "accuracy", "change", "code", "seeds"], *(_line(row) for row in rows)]
    widths = [max(len(line[at]) for line in table) for at in range(4)]

    def aligned(line: Sequence[str | Text]) -> Text:
        made = Text(f"  {line[0]!s:<{widths[0]}}")
        for at in (1, 2, 3):
            made.append(" " * (2 + widths[at] - len(line[at]))).append(line[at])
        return made.append("  ").append(line[4])

    lines = [aligned(table[0])]
    for arm in dict.fromkeys(row["row"] for row in rows):
        lines.append(Text(arm, style="bold"))
        lines += [aligned(line) for row, line in zip(rows, table[1:], strict=True) if row["row"] == arm]
    return lines


def _line(row: dict[str, Any]) -> list[str | Text]:
    done, lost = len(row["seeds"]), len(row["not_done"])
    seeds = Text(f"{done} of {done + lost}", style="yellow") if lost else Text(str(done))
    return [row["model"], _arrow(row, "accuracy"), change(row["accuracy_change"]), _arrow(row, "code"), seeds]


def _arrow(row: dict[str, Any], key: str) -> str:
    before, after = row[f"{key}_before"], row[f"{key}_after"]
    return f"{percent(before.mean if before else None)} -> {percent(after.mean if after else None)}"


def _seeds(row: dict[str, Any]) -> Text:
    """How many seeds count, and how many do not and why."""
    states = [one["state"] for one in row["not_done"]]
    count = len(row["seeds"])
    text = f"{count} seed{'s' * (count != 1)}"
    for state in dict.fromkeys(states):
        text += f", {states.count(state)} {state}"
    return Text(text, style="red" if "failed" in states else "yellow" if states else "")
