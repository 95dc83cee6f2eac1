"""The faults of a grid's cells, each said once and with the choices it holds for.

faults.add({"model": "model=lab/olmo"}, ["eval: ..."]); faults.lines()     # ["with model=lab/olmo: eval: ..."]
"""

import math
from collections import defaultdict

SHOWN = 20  # lines
NAMED = 3  # values of a key that a line names


class Faults:
    """What is wrong with which cells. A cell is known by its lines that vary in the grid, by key. Faults that begin
    with one of `without` are left out."""

    def __init__(self, *, without: tuple[str, ...] = ()) -> None:
        self._without = without
        self._cells = 0
        self._values: dict[str, dict[str, None]] = defaultdict(dict)  # what each key varies over, in order
        self._found: dict[str, list[dict[str, str]]] = {}

    def add(self, varying: dict[str, str], faults: list[str]) -> bool:
        """One cell that was looked at; whether it has faults."""
        self._cells += 1
        for key, line in varying.items():
            self._values[key][line] = None
        for fault in dict.fromkeys(faults):
            if not fault.startswith(self._without):
                self._found.setdefault(fault, []).append(varying)
        return bool(faults)

    def lines(self) -> list[str]:
        """One line a fault, in the order they were met."""
        return [self._line(fault, cells) for fault, cells in self._found.items()]

    def _line(self, fault: str, cells: list[dict[str, str]]) -> str:
        if len(cells) == self._cells:
            return fault
        met = {key: list(dict.fromkeys(c[key] for c in cells if key in c)) for key in self._values}
        some = {key: lines for key, lines in met.items() if lines and len(lines) < len(self._values[key])}
        if math.prod(len(lines) for lines in met.values() if lines) != len(cells):  # no product of some values
            more = f" and {len(cells) - 1} more cells"
            return f"with {' '.join(cells[0].values())}{more}: {fault}"
        where = " ".join(_together(lines) for key, lines in some.items() if not fault.startswith(f"{key}="))
        return f"with {where}: {fault}" if where else fault


def _together(lines: list[str]) -> str:
    """["seed=0", "seed=1"] -> "seed=0,1"."""
    more = f" and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    return ",".join([lines[0], *(line.partition("=")[2] for line in lines[1:NAMED])]) + more


def shortened(lines: list[str]) -> list[str]:
    """At most SHOWN lines, the others counted."""
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"... and {more:,} more"] if more > 1 else lines
