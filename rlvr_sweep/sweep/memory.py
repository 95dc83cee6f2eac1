"""Do cells fit into the memory there is, and their checkpoints onto the disk? What `plan` says of it, and the refusal
before anything starts.

check(cell, total=150_000_000_000, gpus=8)        # UserError that names the nearest preset that fits
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep import devices
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes.memory import Estimate, checkpoint_bytes, estimate, recomputing
from rlvr_sweep.shapes.sizes import Unknown
from rlvr_sweep.sweep.gpus import check_free

SMALL = 1_000_000_000  # bytes of a checkpoint that nobody has to make room for


def check(cell: Cell, total: int | None, *, gpus: int) -> None:
    """UserError where a cell cannot fit into GPUs of `total` bytes, of which there are `gpus` a node, or what it
    offloads into this machine's own memory; names the nearest preset that fits. Nothing where that is not known."""
    if total is None or not cell.compute.check_memory:
        return
    try:
        found = estimate(cell, total)
    except Unknown:
        return
    share, host = cell.compute.share or 1.0, devices.memory_here()  # a share left open is made to fit
    room = round(total * share)
    if found.peak > room:
        wanted, have = f"about {found.peak / 1e9:,.0f} GB a GPU in its {found.phase} phase", f"{room / 1e9:,.0f}"
        have += "" if share == 1 else f" (a share of {share:g})"
    elif found.served > found.engine:
        wanted, have = _for_vllm(cell, found)
    elif found.host > host:
        wanted = f"about {found.host / 1e9:,.0f} GB of a node's own memory with compute.offload"
        have = f"{host / 1e9:,.0f}"
    else:
        ranks = cell.compute.ranks // cell.compute.nodes
        frugal = (
            estimate(recomputing(cell, True), total).peak if cell.compute.gradient_checkpointing == "auto" else None
        )
        check_free(cell.model.name, found.peak, devices.gpus_here(), ranks=ranks, frugal=frugal)
        return
    from rlvr_sweep.sweep.remedy import remedy

    instead = remedy(cell, total, gpus=gpus, host=host)
    raise UserError(
        f"{cell.model.name} takes {wanted}, there are {have}; {instead}, or compute.check_memory=false to try it"
    )


def check_cores(cell: Cell) -> None:
    """UserError where what a cell on cores surely holds, weights, gradients and Adam, is more than the machine has."""
    if not cell.compute.check_memory:
        return
    try:
        terms = estimate(cell).terms
    except Unknown:
        return
    ranks = cell.compute.ranks // cell.compute.nodes
    wanted = ranks * sum(terms.get(name, 0) for name in ("weights", "gradients", "optimizer", "reference"))
    if wanted > (here := devices.memory_here()):
        raise UserError(
            f"{cell.model.name} takes more than {wanted / 1e9:,.0f} GB of memory on cores (weights, gradients, Adam), "
            f"there are {here / 1e9:,.0f}; write a smaller model, compute=gpu where there is a GPU, or "
            "compute.check_memory=false to try it"
        )


def offloaded(cell: Cell) -> int:
    """Bytes of a node's own memory that a cell's offloading holds; 0 where its model is not known."""
    if not cell.compute.offload:
        return 0
    try:
        return estimate(cell).host
    except Unknown:
        return 0


def on_gpus(cells: Sequence[Cell], gpus: tuple[str, ...]) -> list[Cell]:
    """Those that will run on GPUs: these, or others elsewhere."""
    return [c for c in cells if c.compute.device == "cuda" or (c.compute.device == "auto" and gpus)]


def lines(cells: Sequence[Cell], total: int | None) -> list[str]:
    """What `plan` says of cells that run on GPUs: the range of their estimates, what vLLM lacks, the most that one of
    them offloads into a node's own memory, and of which it knows nothing."""
    peaks, starved = [], []
    unknown: dict[str, None] = {}
    for cell in cells:
        try:
            one = estimate(cell, total)
            peaks.append(one.peak)
            starved += [(cell, one)] if one.served > one.engine else []
        except Unknown as reason:
            unknown[f"memory: unknown for {cell.model.name} ({reason})"] = None
    if not peaks:
        return list(unknown)
    span = " to ".join(dict.fromkeys(_gigabytes(size) for size in (min(peaks), max(peaks))))
    of = f" of {total / 1e9:,.0f} GB" if total else ""
    more = ", more than there is" if total is not None and max(peaks) > total else ""
    found = [f"memory: about {span} GB{of} a GPU{more}"]
    if starved:
        cell, one = max(starved, key=lambda pair: pair[1].served)
        wanted, have = _for_vllm(cell, one)
        found.append(f"memory: {cell.model.name} takes {wanted}, there are {have}")
    if host := max(map(offloaded, cells)):
        here = devices.memory_here()
        of = f" of {here / 1e9:,.0f} GB" if total else ""  # without GPUs this is another machine than theirs
        more = ", more than there is" if total and host > here else ""
        found.append(f"memory: about {_gigabytes(host)} GB{of} of a node's own for a cell with compute.offload{more}")
    return [*found, *unknown]


def disk_lines(cells: Sequence[Cell], runs: Path) -> list[str]:
    """What `plan` says of the largest checkpoint of these cells; nothing of small ones, and of models unknown here."""
    largest = 0
    for cell in cells:
        try:
            largest = max(largest, checkpoint_bytes(cell) if cell.compute.checkpoint_every else 0)
        except Unknown:
            continue
    if largest < SMALL:
        return []
    place = runs.absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    said = f"disk: a checkpoint of about {_gigabytes(largest)} GB a cell, two at once while one is written"
    return [f"{said}; {_gigabytes(free)} GB free in {runs}{', too little' if 2 * largest > free else ''}"]


def _for_vllm(cell: Cell, found: Estimate) -> tuple[str, str]:
    """What an engine beside the trainer cannot do without, and what it is given."""
    wanted = f"at least {found.served / 1e9:,.1f} GB of a GPU for vLLM (weights and one completion)"
    return wanted, f"{found.engine / 1e9:,.1f} (compute.vllm_memory={cell.compute.vllm_memory:g})"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2g}" if size < 1e10 else f"{size / 1e9:,.0f}"


def as_json(cells: Sequence[Cell], total: int | None) -> list[dict[str, Any]]:
    """Each different estimate of these cells once, with its terms."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        try:
            said = estimate(cell, total).as_json()
        except Unknown as reason:
            said = {"unknown": str(reason)}
        said = {"model": cell.model.name, "compute": cell.compute.name, "gpu_bytes": total, **said}
        found.setdefault(json.dumps(said), said | {"cells": 0})["cells"] += 1
    return list(found.values())
