"""The arms of a grid as a table: what varies, the seeds, and how many cells are in which state.

console.print(table(cells, states))

A row an arm; of a grid with many arms a row for each value that varies, so that a thousand cells still fit a screen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from rlvr_sweep.sweep.progress import ORDER
from rlvr_sweep.sweep.state import Name

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed

MOST_ARMS = 40  # rows; beyond that, what varies is shown by itself
MOST_VALUES = 20  # of one key there
ABSENT = "-"


def table(cells: "Sequence[Composed]", states: Sequence[Name]) -> Table:
    """`states` are those of `cells`, in their order."""
    lines = [_by_key(cell.overrides) for cell in cells]
    keys = [key for key in dict.fromkeys(key for line in lines for key in line) if key != "seed"]
    columns = {key: [line.get(key, ABSENT) for line in lines] for key in keys}
    varying = {key: values for key, values in columns.items() if len(set(values)) > 1}
    numbers = [cell.cell.seed for cell in cells]
    by_arm = _places(cell.arm_id for cell in cells)
    present: list[Name] = [state for state in ORDER if state in states]
    if len(by_arm) > MOST_ARMS:
        return _by_value(varying, numbers, states, present)
    made = _table(*varying, "seeds", states=present)
    for places in by_arm.values():
        values = [", ".join(dict.fromkeys(column[n] for n in places)) for column in varying.values()]
        made.add_row(*values, seeds(numbers[n] for n in places), *_counts(states, places, present))
    if len(by_arm) > 1:
        made.add_row("all", *[""] * len(varying), *_counts(states, range(len(cells)), present), style="bold")
    return made


def _by_value(
    varying: Mapping[str, Sequence[str]], numbers: Sequence[int], states: Sequence[Name], present: Sequence[Name]
) -> Table:
    """A row a value of each key; a single one where a key has many."""
    made = _table("what varies", "", "cells", states=present)
    everyone = list(range(len(numbers)))
    for key, values in {**varying, "seed": [str(number) for number in numbers]}.items():
        rows = _places(values)
        if len(rows) > MOST_VALUES:
            rows = {seeds(numbers) if key == "seed" else f"{len(rows):,} values": everyone}
        for value, places in rows.items():
            head = key if value == next(iter(rows)) else ""
            made.add_row(head, value, f"{len(places):,}", *_counts(states, places, present))
    return made


def _places(values: Iterable[str]) -> dict[str, list[int]]:
    """Where each value stands."""
    found: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return found


def count(cells: "Iterable[Composed]") -> int:
    """How many arms there are."""
    return len({cell.arm_id for cell in cells})


def _table(*heads: str, states: Sequence[Name]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        made.add_column(head, overflow="fold", justify="right" if head == "cells" else "left")
    for state in states:
        made.add_column(state, justify="right", no_wrap=True)
    return made


def _by_key(overrides: Iterable[str]) -> dict[str, str]:
    pairs = (line.lstrip("+").partition("=") for line in overrides)
    return {key: value for key, _, value in pairs}


def seeds(numbers: Iterable[int]) -> str:
    """As in 0-4,7; of many that do not follow each other, their number."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    if len(ranges) > 6:
        return f"{ranges[0][0]} to {ranges[-1][1]} ({sum(b - a + 1 for a, b in ranges)} of them)"
    return ",".join(str(a) if a == b else f"{a},{b}" if b == a + 1 else f"{a}-{b}" for a, b in ranges)


def _counts(states: Sequence[Name], places: Iterable[int], present: Sequence[Name]) -> list[str]:
    counted = Counter(states[n] for n in places)
    return [f"{counted[state]:,}" if counted[state] else ABSENT for state in present]
