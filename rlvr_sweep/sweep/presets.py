"""The compute presets, read as a user would choose them: which is the nearest that a cell fits into?

fitting(cell, total=150_000_000_000, gpus=8, host=2_000_000_000_000)    # "zero2_x2", and the cell there
"""

from collections.abc import Iterator
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


def fitting(cell: Cell, total: int, *, gpus: int, host: int) -> tuple[str, Cell] | None:
    """The nearest preset other than its own into which a cell fits, with all that it says besides, and the cell there,
    in its own passes where only those fit: on GPUs of `total` bytes, of which a node has `gpus`, and `host` bytes of
    its own; those without offloading first. One for a larger machine is named where no other fits."""
    from rlvr_sweep.shapes.memory import estimate

    fits: list[tuple[tuple[bool, bool, int, int], str, Cell]] = []
    for name in presets():
        if name == cell.choices.get("compute"):
            continue
        for smaller, other in enumerate(_as_it_comes_or_in_smaller_passes(cell, name)):
            try:
                if rules.faults(other):
                    continue
                found = estimate(other, total)
            except Unknown:
                return None
            if found.fits(total, host=host):
                fits.append(((*_distance(cell.compute, other.compute, gpus=gpus), smaller), name, other))
                break
    return min(fits, key=lambda one: one[:2])[1:] if fits else None


def _as_it_comes_or_in_smaller_passes(cell: Cell, preset: str) -> Iterator[Cell]:
    other, own = on(cell, preset), cell.compute.micro_batch
    yield other
    its = other.compute.micro_batch
    if own is not None and (its is None or own < its):
        yield other.model_copy(update={"compute": other.compute.model_copy(update={"micro_batch": own})})


def is_larger(other: Compute, have: Compute, *, gpus: int) -> bool:
    """Whether a preset takes more nodes than there are, or more of a node than its `gpus`."""
    return other.ranks // other.nodes > gpus or other.nodes > have.nodes


def _distance(have: Compute, other: Compute, *, gpus: int) -> tuple[bool, bool, int]:
    """How unwelcome another preset is: a larger machine, offloading, more GPUs."""
    return is_larger(other, have, gpus=gpus), other.offload and not have.offload, other.ranks
