"""The compute presets, read as a user would choose them: which is the nearest that a cell fits into?

fitting(cell, total=150_000_000_000, gpus=8)        # "zero2_x2"
"""

from functools import cache
from typing import Any

import yaml
from pydantic import ValidationError

from rlvr_sweep.config import rules
from rlvr_sweep.config.schema import Cell, Compute
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.shapes.sizes import Unknown


@cache
def presets() -> dict[str, Compute]:
    """Those in conf/compute that say all they say themselves and run on GPUs, by the name of the choice; the fewest
    GPUs first, and of so many first those that hold and send the least of what is shared."""
    found: dict[str, Compute] = {}
    for file in sorted((conf_dir() / "compute").glob("*.yaml")):
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "defaults" in content:
            continue
        try:
            compute = Compute.model_validate(content)
        except ValidationError:  # one of a newer kind, or with interpolations
            continue
        if compute.device == "cuda":
            found[file.stem] = compute
    return dict(sorted(found.items(), key=lambda item: (item[1].ranks, item[1].offload, item[1].zero, item[0])))


def fitting(cell: Cell, total: int, *, gpus: int) -> str | None:
    """The nearest preset into which a cell fits on GPUs of `total` bytes, of which a node has `gpus`: of those with the
    cell's own backend and without offloading first. One for a larger machine is named where no other fits."""
    from rlvr_sweep.shapes.memory import estimate

    fits = []
    for name, compute in presets().items():
        other = cell.model_copy(update={"compute": compute})
        try:
            if not rules.faults(other) and estimate(other, total).peak <= total:
                fits.append((_distance(cell.compute, compute, gpus=gpus), name))
        except Unknown:
            return None
    return min(fits)[1] if fits else None


def _distance(have: Compute, other: Compute, *, gpus: int) -> tuple[bool, bool, bool, int]:
    """How unwelcome another preset is: a larger machine, another backend, offloading, more GPUs."""
    is_larger = other.ranks // other.nodes > gpus or other.nodes > have.nodes
    return is_larger, other.backend != have.backend, other.offload and not have.offload, other.ranks
