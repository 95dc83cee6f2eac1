"""The document that `bench` writes and `plan` reads (sweep/calibration.py): machine, versions, command, measures.

made = document(found, environment, ours=..., ...)
write(place(None, runs=Path("runs")) / f"{made['name']}.json", made)
"""

import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rlvr_sweep.bench.measured import Measured
from rlvr_sweep.bench.setting import Setting
from rlvr_sweep.cell_dir import write_atomically
from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.config.tree import launch_dir
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes.sizes import Sizes
from rlvr_sweep.shapes.table import find_shape, name_in
from rlvr_sweep.source import is_checkout
from rlvr_sweep.sweep import calibration

DIGITS = 6
RECOMPUTES = "activations are computed anew in the backward pass{}: compute.gradient_checkpointing"


def machine(cell: Cell, environment: Mapping[str, Any], *, gpus: int) -> dict[str, Any]:
    """What a cell ran on, by its env.json; no names of hosts or users."""
    on_gpus = gpus > 0
    return {
        "device": environment["devices"][0],
        "count": gpus if on_gpus else cell.compute.ranks * (cell.compute.threads or 1),
        "unit": "GPU" if on_gpus else "core",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cuda": environment["cuda"],
    }


def stock(cell: Cell, found: Mapping[str, Any], *, peak: int | None) -> dict[str, Any]:
    """What bench/stock.py wrote, without its first rollout."""
    batch = arm(cell)
    seconds = (found["steps_ended"][-1] - found["steps_ended"][batch.updates - 1]) / (batch.rollouts - 1)
    return {
        "rollout_seconds": seconds,
        "completions_per_hour": 3600 * batch.rollout_size / seconds,
        "completion_tokens": fmean(found["completion_tokens"][1:]),
        "peak_bytes": peak,
    }


def document(
    found: Setting,
    environment: Mapping[str, Any],
    *,
    ours: Measured,
    sizes: Sizes | None,
    machine: dict[str, Any],
    peak: int | None,
    command: str,
) -> dict[str, Any]:
    """Everything a reader needs to judge the numbers, and `plan` to scale them."""
    whole = found.whole
    derived = {"rollout_seconds": ours.rollout_seconds, "completions_per_hour": ours.completions_per_hour}
    made: dict[str, Any] = {
        "format": calibration.FORMAT,
        "name": name(asked(found), machine),
        "written": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": command,
        "commit": environment["commit"],
        "machine": machine,
        "versions": environment["versions"],
        "notes": [*found.notes, *_recomputed(environment)],
        "parameters": sizes.parameters if sizes else None,
        **asked(found),
        "measured": asdict(ours) | derived | {"peak_bytes": peak},
        "stock": None,
    }
    seconds = calibration.Calibration.of(made).seconds(whole)
    floor = sum(ours.floor.values()) * arm(whole).rollouts if ours.floor else None
    hours = machine["count"] / 3600
    made["whole"] = {
        "rollouts": arm(whole).rollouts,
        "seconds": seconds,
        "hours": seconds * hours,
        "floor_hours": None if floor is None else floor * hours,
    }
    return _rounded(made)


def with_stock(made: dict[str, Any], stock: dict[str, Any], *, command: str) -> dict[str, Any]:
    """The document beside what TRL's stock trainer took by `command`; `ratio`: completions an hour to its."""
    ratio = made["measured"]["completions_per_hour"] / stock["completions_per_hour"]
    return made | {"stock": _rounded({"command": command} | stock | {"ratio": ratio})}


def asked(found: Setting) -> dict[str, Any]:
    """What must be equal for two measurements to be compared, and what a file is named after."""
    shape = name_in(found.composed.cell.model.path)
    return {
        "model": found.whole.model.name,
        "setting": calibration.setting(found.whole),
        "work": calibration.work(found.whole),
        "cell": calibration.manner(found.whole),
        "mean_tokens": find_shape(shape).mean_tokens if shape else None,
    }


def check_measured(folder: Path, wanted: Mapping[str, Any]) -> None:
    """UserError where `folder` has measurements of this model and split, but none of the cell that is asked for."""
    unlike: dict[str, list[str]] = {}
    for file in sorted(folder.glob(f"{_stem(wanted)}-*.json")):
        try:
            differ = _differences(dict(json.loads(file.read_text())), wanted)
        except (OSError, ValueError, TypeError):  # it is none
            continue
        if not differ:
            return
        unlike[file.name] = differ
    if unlike:
        nearest = min(unlike, key=lambda name: len(unlike[name]))
        raise UserError(
            f"bench: --stock-only: {folder / nearest} was measured with {', '.join(unlike[nearest])}; write what its "
            "command says, or --stock to measure both"
        )


def _differences(have: Mapping[str, Any], wanted: Mapping[str, Any], inside: str = "") -> list[str]:
    """As in: cell.prompts 4 (here 8)."""
    found = []
    for key in (*wanted, *(key for key in have if inside and key not in wanted)):
        here, there = wanted.get(key), have.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            found += _differences(there, here, f"{inside}{key}.")
        elif there != here:
            found.append(f"{inside}{key} {json.dumps(there)} (here {json.dumps(here)})")
    return found


def place(out: Path | None, *, runs: Path) -> Path:
    """The folder of calibrations: `out`, a checkout's launch/calibration, or else runs/_bench."""
    return out or (launch_dir() / "calibration" if is_checkout() else runs / calibration.OWN)


def make(folder: Path) -> None:
    """UserError where nothing can be written there: said before what takes minutes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); write --out DIR") from None


def write(file: Path, document: dict[str, Any]) -> None:
    """UserError where it cannot be written."""
    try:
        write_atomically(file, json.dumps(document, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); write --out DIR") from None


def _recomputed(environment: Mapping[str, Any]) -> list[str]:
    kept = environment["kept_tokens"]
    return [] if kept is None else [RECOMPUTES.format(f", of more than {kept:,} tokens" if kept else "")]


def name(asked: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """As in shape-qwen2_5_7b-zero2_x4-vllm-64x16-h200x4-1a2b3c; the last is of all that was asked for, lengths too."""
    device = machine["device"].replace("NVIDIA", "").strip().lower()
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:6]
    batch = f"{asked['cell']['prompts']}x{asked['cell']['completions']}"
    return f"{_stem(asked)}-{batch}-{_plain(device)}x{machine['count']}-{digest}"


def _stem(asked: Mapping[str, Any]) -> str:
    """The part of a name that says whose it is: the model, and how the work is split."""
    rank = asked["setting"]["lora_rank"]
    lora = f"-lora{rank}" if rank else ""
    return _plain(f"{asked['model']}{lora}-{asked['cell']['compute']}-{asked['setting']['backend']}")


def _plain(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words)


def _cpu() -> str:
    """The processor's name as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(value: Any) -> Any:
    """Floats at the digits that mean something."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
