"""What cells will cost, measured on finished cells like them, else scaled from what `bench` measured (calibration.py);
where there is neither it is unknown, never a guess.

    found = cost([(composed, 1.0), ...], there=index(Path("runs")))       # 1.0: the whole cell is still to run
    for line in found.lines(): print(line)

Like them: the same model, data, algo, clip, eval and compute. Rewards and seeds make no difference, and estimators only
where they ask for more: a second model (KL), further completions (dynamic sampling), forward passes of another size.
Time is wall seconds of cells that ran in one attempt, times the GPUs or cores they held.
"""

import json
import os
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from rlvr_sweep.cell_dir import FORMAT, read_status
from rlvr_sweep.config import schema
from rlvr_sweep.protocol import SHARE
from rlvr_sweep.sweep import calibration
from rlvr_sweep.sweep.calibration import Calibration
from rlvr_sweep.sweep.listing import duration

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed

SECTIONS = {"model": schema.Model, "data": schema.Data, "algo": schema.Algo, "clip": schema.Clip, "eval": schema.Eval}
SECTIONS |= {"compute": schema.Compute}
ALIKE = "with the same model, data, algo, clip, eval and compute"  # and work of the estimator: see _key
ENOUGH = 50  # finished cells of a kind; more would say the same and take time to read
SAMPLED = 5  # directories whose files are added up


@dataclass(frozen=True)
class Finished:
    """A finished cell to go by. `units` are the GPUs (or shares of one) or cores that it held for `seconds`."""

    path: Path
    seconds: float
    units: float
    unit: Literal["GPU", "core"]
    device: str


@dataclass(frozen=True)
class Part:
    """Cells that cost alike, and what says so. `whole_cells` counts a half-done cell as one half."""

    cells: int
    whole_cells: float
    basis: list[Finished]

    @property
    def seconds(self) -> float:
        """Wall seconds of one cell: the median."""
        return statistics.median(one.seconds for one in self.basis)

    @property
    def hours(self) -> float:
        """GPU-hours or core-hours of all."""
        return statistics.median(one.seconds * one.units for one in self.basis) * self.whole_cells / 3600

    @property
    def disk_bytes(self) -> float:
        return statistics.median(_size(one.path) for one in self.basis[:SAMPLED]) * self.whole_cells


@dataclass(frozen=True)
class Estimated:
    """Cells that cost alike, of which none has finished, and what `bench` says of them. `seconds`: of one, on `units`
    GPUs or cores; `basis` says without what."""

    cells: int
    whole_cells: float
    by: Calibration
    seconds: float
    units: float
    basis: str

    @property
    def hours(self) -> float:
        return self.seconds * self.units * self.whole_cells / 3600


@dataclass(frozen=True)
class Cost:
    """Of `cells` to run, the `parts` are known, and the `estimates` are of others."""

    cells: int
    parts: list[Part]
    estimates: list[Estimated] = field(default_factory=list)
    are_served: bool = False  # some generate on a vLLM server's GPUs, of which a record knows nothing

    @property
    def known_for(self) -> int:
        return sum(part.cells for part in (*self.parts, *self.estimates))

    def hours(self, unit: str) -> float | None:
        """None where no cell is known to take such a unit."""
        of_unit = [part.hours for part in self.parts if part.basis[0].unit == unit]
        of_unit += [one.hours for one in self.estimates if one.by.unit == unit]
        return sum(of_unit) if of_unit else None

    @property
    def disk_bytes(self) -> float | None:
        return sum(part.disk_bytes for part in self.parts) if self.parts else None

    @property
    def basis(self) -> str | None:
        """As in: 12 finished cells of the same model, ... (x86_64), 63 s each."""
        said = [*([self._measured] if self.parts else []), *self._benched]
        return "; ".join(said) or None

    @property
    def _benched(self) -> list[str]:
        """As in: bench NAME on 1 x NVIDIA H200, an estimate for ..., without evaluations, 5.3 h each."""
        times: dict[str, list[float]] = {}
        for one in self.estimates:
            times.setdefault(one.basis, []).append(one.seconds)
        return [f"{basis}, {_each(seconds)} each" for basis, seconds in times.items()]

    @property
    def _measured(self) -> str:
        finished = [one for part in self.parts for one in part.basis]
        count = len(finished)
        devices = ", ".join(dict.fromkeys(one.device for one in finished))
        each = _each([part.seconds for part in self.parts])
        more = " or more" if any(len(part.basis) == ENOUGH for part in self.parts) else ""
        return f"{count}{more} finished cell{'s' * (count != 1)} {ALIKE} on {devices}, {each} each"

    @property
    def unknown(self) -> str | None:
        """Why it is not known for some or all cells."""
        missing = self.cells - self.known_for
        return (
            f"no finished cell {ALIKE} as {'it' if self.cells == 1 else f'{missing:,} of {self.cells:,} cells'}"
            if missing
            else None
        )

    def lines(self) -> list[str]:
        """What a user reads."""
        if not self.cells:
            return []
        if not self.known_for:
            return [f"time and disk: unknown ({self.unknown})"]
        some = f"{self.known_for:,} of {self.cells:,} cells" if self.unknown else f"{self.cells:,} cells"
        some = "1 cell" if self.cells == 1 else some
        hours = [f"{_shown(h)} {unit}-hours" for unit in ("GPU", "core") if (h := self.hours(unit)) is not None]
        served = ", without the GPUs of vLLM servers" if self.are_served else ""
        lines = [f"time: about {' and '.join(hours)} for {some}{served}"]
        if self.parts:  # no bench says how much a cell writes
            finished = sum(part.cells for part in self.parts)
            some = some if finished == self.known_for else f"{finished:,} of {self.cells:,} cells"
            lines.append(f"disk: about {as_bytes(self.disk_bytes or 0.0)} for {some}, without checkpoints")
        lines.append(f"basis: {self.basis}")
        return [*lines, f"unknown for the others: {self.unknown}"] if self.unknown else lines

    def as_json(self) -> dict[str, Any]:
        return {
            "cells": self.cells,
            "known_for": self.known_for,
            "gpu_hours": self.hours("GPU"),
            "core_hours": self.hours("core"),
            "disk_bytes": None if self.disk_bytes is None else round(self.disk_bytes),
            "basis": self.basis,
            "unknown": self.unknown,
        }


def cost(wanted: "Sequence[tuple[Composed, float]]", there: Mapping[str, Path], *, has_gpus: bool = False) -> Cost:
    """What cells to run will take, each with the share of it that is still to be done; `there` lists runs/, `has_gpus`
    tells where compute=auto runs."""
    alike: dict[str, list[float]] = {}
    beginnings: dict[str, str] = {}
    cells: dict[str, schema.Cell] = {}
    for composed, share in wanted:
        key = _key({name: getattr(composed.cell, name) for name in SECTIONS}, composed.cell.estimator)
        alike.setdefault(key, []).append(share)
        beginnings[key] = _beginning(composed.cell)
        cells[key] = composed.cell
    found = _finished(beginnings, there)
    parts = [Part(len(shares), sum(shares), found[key]) for key, shares in alike.items() if found[key]]
    others = {key: cell for key, cell in cells.items() if not found[key]}
    are_served = any(found[key] and cell.compute.backend == "vllm_server" for key, cell in cells.items())
    return Cost(len(wanted), parts, _estimates(others, alike, has_gpus=has_gpus), are_served)


def _estimates(
    cells: Mapping[str, schema.Cell], shares: Mapping[str, Sequence[float]], *, has_gpus: bool
) -> list[Estimated]:
    """By what `bench` measured, of those that are like one of its cells."""
    runs = {cell.runs for cell in cells.values()}
    known = calibration.read(folder for one in sorted(runs) for folder in calibration.places(Path(one)))
    found = []
    for key, cell in cells.items():
        device = cell.compute.device
        on_gpu = device == "cuda" or (device == "auto" and has_gpus)
        by = calibration.nearest(cell, known, unit="GPU" if on_gpu else "core")
        if by is not None:
            took = by.seconds(cell)
            found.append(Estimated(len(shares[key]), sum(shares[key]), by, took, by.units(cell), by.basis(cell)))
    return found


def _key(sections: Mapping[str, Any], estimator: schema.Estimator) -> str:
    """What must be equal for two cells to cost alike. Of an estimator: whether there is a reference model to ask, how
    often a rollout may be generated, and the forward pass that its loss fixes."""
    plain = {name: section.model_dump(mode="json") for name, section in sections.items()}
    batches = estimator.max_generation_batches if estimator.dynamic_sampling else 1
    work = {"reference": estimator.kl > 0, "generation_batches": batches, "loss_batch": estimator.loss_batch}
    plain["compute"]["share"] = plain["compute"]["share"] or 1.0  # runs before it could be left open say 1
    return json.dumps(plain | work, sort_keys=True)


def _beginning(cell: schema.Cell) -> str:
    """How the names of directories of such cells begin (config/identity.py makes them): no others are read."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{cell.model.name}-{cell.data.name}")[:60].strip("-")


def _finished(beginnings: Mapping[str, str], there: Mapping[str, Path]) -> dict[str, list[Finished]]:
    """By key, finished cells: of every kind enough, of all runs a fair sample (ids are hashes), read no further."""
    found: dict[str, dict[tuple[str, str], list[Finished]]] = {key: {} for key in beginnings}
    lacking = dict(beginnings)
    keys: dict[str, str | None] = {}
    for cell_id in sorted(there):
        path = there[cell_id]
        if not any(path.name.startswith(beginning) for beginning in lacking.values()):
            continue
        seconds = _seconds(path)
        document = _json(path / "cell.json") if seconds is not None else None
        if seconds is None or document is None or document.get("format") != FORMAT:
            continue
        key = _key_of(document, keys)
        if key not in lacking:
            continue
        one = _one(path, seconds, document["cell"]["compute"])
        if one is not None:
            of_device = found[key].setdefault((one.unit, one.device), [])
            of_device.append(one)
            if len(of_device) == ENOUGH:
                del lacking[key]
    # The same cells may have run on several kinds of devices: one kind counts, that with the most.
    return {key: max(by_device.values(), key=len, default=[]) for key, by_device in found.items()}


def _seconds(path: Path) -> float | None:
    """Wall seconds of a cell that is done and ran in one attempt; both ends by the clock of one host."""
    if not (path / "DONE").is_file():
        return None
    status = read_status(path)
    began, ended = status.get("started"), status.get("finished")
    is_clean = status["state"] == "done" and status.get("attempt") == 1
    if not is_clean or not isinstance(began, int | float) or not isinstance(ended, int | float):
        return None
    return ended - began if ended > began else None


def _key_of(document: dict[str, Any], known: dict[str, str | None]) -> str | None:
    """The key of a cell on disk; judged, since one of an older version lacks new fields. None: not of this version."""
    cell = document.get("cell") or {}
    text = json.dumps([cell.get(name) for name in (*SECTIONS, "estimator")])
    if text not in known:
        try:
            sections = {name: judge.model_validate(cell.get(name)) for name, judge in SECTIONS.items()}
            known[text] = _key(sections, schema.Estimator.model_validate(cell.get("estimator")))
        except ValidationError:
            known[text] = None
    return known[text]


def _one(path: Path, seconds: float, compute: Mapping[str, Any]) -> Finished | None:
    """A finished cell with what it held; None where its attempt did not say what it ran on."""
    environment = _json(path / "attempts" / "1" / "env.json") or {}
    devices = environment.get("devices")
    if not isinstance(devices, list) or not devices or "cuda" not in environment:
        return None
    ranks = compute.get("ranks", 1)
    device = Counter(map(str, devices)).most_common(1)[0][0]
    if environment["cuda"] is None:
        return Finished(path, seconds, ranks * (compute.get("threads") or 1), "core", device)
    share = (environment.get("environment") or {}).get(SHARE) or compute.get("share") or 1.0
    return Finished(path, seconds, float(share) if ranks == 1 else ranks, "GPU", device)


def _json(file: Path) -> dict[str, Any] | None:
    """What a file holds; None where it cannot be a basis."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _size(path: Path) -> int:
    """Bytes of the files below."""
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def _each(times: Sequence[float]) -> str:
    """The shortest and the longest, or one where they are told alike."""
    return " to ".join(dict.fromkeys(duration(seconds) for seconds in (min(times), max(times))))


def _shown(value: float) -> str:
    """Two digits are all an estimate is worth."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def as_bytes(count: float) -> str:
    """As in 3.2 GB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{_shown(count / size)} {unit}"
    return f"{_shown(count / 1e3)} kB"
