"""Numbers, facts and paths as every table and --json shows them, before any RL and after it.

percent(0.418)                  # "41.8"
interval(accuracy(rows))        # "41.8 [36.0, 47.6]"
"""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any


def percent(value: float | None, *, sign: bool = False) -> str:
    """41.8, or +3.0 with `sign`; "-" where it is not known."""
    if value is None or math.isnan(value):
        return "-"
    text = f"{100 * value:{'+' if sign else ''}.1f}"
    return text[:-2] if text.removesuffix(".0").lstrip("+-") == "100" else text


def interval(estimate: Any, *, sign: bool = False) -> str:
    """41.8 [36.0, 47.6]: a mean with its 95% interval, where it has one."""
    if estimate is None or estimate.mean is None:
        return "-"
    mean = percent(estimate.mean, sign=sign)
    if estimate.low is None:
        return mean
    return f"{mean} [{percent(estimate.low, sign=sign)}, {percent(estimate.high, sign=sign)}]"


def shown(path: Path) -> str:
    """`path` from here where it lies below, else whole."""
    whole = path.absolute()
    return os.path.relpath(whole) if whole.is_relative_to(Path.cwd()) else str(whole)


def as_json(found: Any) -> str:
    """Facts as JSON; an estimate is a mapping of its fields."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.asdict(value)
        raise TypeError(f"{type(value).__name__} is not a fact")

    return json.dumps(found, default=plain, indent=1, allow_nan=False) + "\n"
