"""The compute presets, read as a user would choose them: which is the nearest that a cell fits into?

fitting(cell, total=150_000_000_000, gpus=8, host=2_000_000_000_000)        # "zero2_x2"
"""

from functools import cache
from typing import Any

import yaml
from pydantic import ValidationError

from rlvr_sweep.config import rules
from rlvr_sweep.config.schema import Cell, Compute
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.shapes.sizes import Unknown

# What a preset is chosen for; the rest of compute is a cell's own where it says so.
ABOUT = {"name", "device", "ranks", "nodes", "share", "zero", "offload"}


@cache
def presets() -> dict[str, Compute]:
    """Those in conf/compute that say all they say themselves and run on GPUs, by the name of the choice; the fewest
    GPUs first, and of so many first those that hold and send the least of what is shared."""
    found: dict[str, Compute] = {}
    for file in sorted((conf_dir() / "compute").glob("*.yaml")):
        try:
            content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or "defaults" in content:
                continue
            compute = Compute.model_validate(content)
        except (yaml.YAMLError, ValidationError):  # a user's own, half written or with interpolations: no advice
            continue
        if compute.device == "cuda":
            found[file.stem] = compute
    return dict(sorted(found.items(), key=lambda item: (item[1].ranks, item[1].offload, item[1].zero, item[0])))


def said(cell: Cell) -> set[str]:
    """The keys of compute that a cell sets besides its choice of a preset; all that it sets where that is none of
    presets()."""
    preset = presets().get(cell.choices.get("compute", ""), Compute(name=cell.compute.name))
    return {key for key in Compute.model_fields if getattr(cell.compute, key) != getattr(preset, key)}


def on(cell: Cell, preset: str) -> Cell:
    """The cell with another preset, and all that it says besides its own."""
    kept = {key: getattr(cell.compute, key) for key in said(cell) - ABOUT}
    return cell.model_copy(update={"compute": presets()[preset].model_copy(update=kept)})


def fitting(cell: Cell, total: int, *, gpus: int, host: int) -> str | None:
    """The nearest preset other than its own into which a cell fits, with all that it says besides, on GPUs of `total`
    bytes, of which a node has `gpus`, and `host` bytes of its own: those without offloading first. One for a larger
    machine is named where no other fits."""
    from rlvr_sweep.shapes.memory import estimate

    fits = []
    for name, preset in presets().items():
        if name == cell.choices.get("compute"):
            continue
        other = on(cell, name)
        try:
            if rules.faults(other):
                continue
            found = estimate(other, total)
            if found.peak <= total and found.host <= host:
                fits.append((_distance(cell.compute, preset, gpus=gpus), name))
        except Unknown:
            return None
    return min(fits)[1] if fits else None


def is_larger(other: Compute, have: Compute, *, gpus: int) -> bool:
    """Whether a preset takes more nodes than there are, or more of a node than its `gpus`."""
    return other.ranks // other.nodes > gpus or other.nodes > have.nodes


def _distance(have: Compute, other: Compute, *, gpus: int) -> tuple[bool, bool, int]:
    """How unwelcome another preset is: a larger machine, offloading, more GPUs."""
    return is_larger(other, have, gpus=gpus), other.offload and not have.offload, other.ranks
