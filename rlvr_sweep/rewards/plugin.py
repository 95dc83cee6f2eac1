"""A reward from the user's own file, without touching this package; the SHA-256 of that file is in the cell's identity.

# short.py, in the working directory
def score(group, limit):                       # group: rlvr_sweep.rewards.types.Group
    return [float(c.tokens < limit) for c in group.completions]

reward=plugin reward.function=short:score +reward.params.limit=200
"""

import hashlib
import importlib
import logging
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from rlvr_sweep.errors import UserError
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict

log = logging.getLogger(__name__)
failures: Counter[str] = Counter()  # completions left unscorable by a plug-in in this process, by reason


class Params(Strict):
    name: Literal["plugin"] = "plugin"
    function: str  # module:function
    params: dict[str, Any] = Field({})  # keyword arguments after the group
    needs_labels: bool = False  # whether it reads group.label

    @field_validator("function", mode="before")
    @classmethod
    def _module_and_function(cls, value: Any) -> Any:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", str(value)):
            raise ValueError(f"{value!r} is not MODULE:FUNCTION; for a file my_rewards.py, write my_rewards:score")
        return value


def _line(error: BaseException) -> str:
    """The exception's own line: its type and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")


@cache
def load(function: str) -> Callable[..., Any]:
    """The function named "module:function", the working directory first in the search. UserError if there is none."""
    module_name, _, name = function.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # for good: a plug-in may import its neighbours when it is called
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise UserError(
            f"reward.function: {function!r} cannot be imported from {os.getcwd()}: {_line(error)}; "
            f"mend that, or write MODULE:FUNCTION of a file there"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        here = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise UserError(
            f"reward.function: {module_name} has no function {name!r}; write {module_name}:NAME with NAME "
            f"one of {', '.join(here) or '(it has none)'}"
        )
    return found


def digest(function: str) -> str:
    """SHA-256 of the source file of "module:function". UserError where it cannot be imported or has no file."""
    load(function)
    module_name = function.partition(":")[0]
    path = getattr(sys.modules[module_name], "__file__", None)
    if path is None:
        raise UserError(f"reward.function: {module_name} has no source file to identify it by; write a .py file's name")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _value(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _fail(reason: str, count: int) -> None:
    if reason not in failures:
        log.warning("%s; such completions are unscorable (told once)", reason)
    failures[reason] += count


def score(params: Params, group: Group) -> Rewards:
    """What function(group, **params) returns, a number or None a completion.

    A plug-in that raises, or returns a wrong count, leaves its group unscorable, and a value that is no finite number
    leaves its completion so: counted in `failures` and logged once a reason. It must not raise here: on one rank of
    several, that would leave the others waiting.
    """
    size = len(group.completions)
    try:
        values = list(load(params.function)(group, **params.params))
        rewards = [_value(value) for value in values]
    except Exception as error:  # whatever the user's function raises
        _fail(f"{params.function} raised {_line(error)}", size)
        return [None] * size
    if len(values) != size:
        _fail(f"{params.function} returned {len(values)} values for {size} completions", size)
        return [None] * size
    infinite = sum(new is None and old is not None for new, old in zip(rewards, values, strict=True))
    if infinite:
        _fail(f"{params.function} returned NaN or infinity", infinite)
    return rewards
