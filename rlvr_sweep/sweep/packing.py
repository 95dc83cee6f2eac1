"""How many cells share a GPU where compute.share leaves it open.

    share(cell, free=150_000_000_000, cores=16, gpus=1, cells=32)         # Fraction(1, 16)

A model of some hundred thousand parameters keeps a GPU busy for a few microseconds at a time and then waits for Python:
such cells go side by side, one a core, as far as the memory estimate allows. A larger model has the GPU to itself.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.shapes import memory
from rlvr_sweep.shapes.sizes import Unknown

SMALL = 10_000_000  # parameters; the lab's models have 144,000
CELLS_A_CORE = 1
MOST = 64  # shares of a GPU: compute.share's own limit


def share(cell: Cell, *, free: int | None, cores: int, gpus: int, cells: int) -> Fraction:
    """The part of a GPU with `free` bytes left that a cell of one rank takes, on a node of so many cores and GPUs: what
    compute.share says, or else as little as pays, for `cells` in all. A whole one where model or GPU are not known."""
    compute = cell.compute
    if compute.share is not None:
        return Fraction(compute.share).limit_denominator(MOST)
    if free is None or not gpus or compute.ranks > 1 or compute.backend != "hf":
        return Fraction(1)
    try:
        if memory.sizes_of(cell).parameters > SMALL:
            return Fraction(1)
        by_memory = free // memory.estimate(cell, free).peak
    except Unknown:
        return Fraction(1)
    return Fraction(1, max(1, min(by_memory, CELLS_A_CORE * cores // gpus, -(-cells // gpus), MOST)))


def lines(cells: Sequence[Cell], *, free: int | None, cores: int, gpus: int) -> list[str]:
    """What `plan` says of cells that share GPUs of this machine."""
    how = {"free": free, "cores": cores, "gpus": gpus, "cells": len(cells)}
    shares = Counter(share(cell, **how) for cell in cells if cell.compute.ranks == 1)
    found = []
    for part, number in sorted(shares.items()):
        if part <= Fraction(1, 2):
            which = "" if number == len(cells) else f" ({number:,} of {len(cells):,} cells)"
            found.append(f"packing: {int(1 / part)} cells at once on a GPU{which}")
    return found
