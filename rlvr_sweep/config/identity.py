"""A cell is its content: the same choices, files and revisions give the same id, wherever and however they run.

cell_id(cell, hashes) -> "3f2a9c01b7de"; arm_id is the same without the seed.
"""

import hashlib
import json
import re
from functools import cache
from typing import Any

from pydantic import BaseModel

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.strict import is_always_in_identity

VERSION = 1  # raise it when the meaning of a field changes, so that old runs are not taken for new ones


@cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, bool, Any], ...]:
    """Of each field that can be in the identity: its name, whether it always is, and its default."""
    said = {name: is_always_in_identity(model, name) for name in model.model_fields}
    defaults = {name: info.get_default(call_default_factory=True) for name, info in model.model_fields.items()}
    return tuple((name, bool(always), defaults[name]) for name, always in said.items() if always is not False)


def _inside(model: BaseModel) -> dict[str, Any]:
    """The fields of a model that are in the identity, nested models likewise."""
    values = ((name, getattr(model, name), always, default) for name, always, default in _fields(type(model)))
    return {name: _plain(value) for name, value, always, default in values if always or value != default}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _inside(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def identity(cell: Cell, hashes: dict[str, str]) -> dict[str, Any]:
    """Everything that can change what comes out of a cell, as plain JSON."""
    return {"version": VERSION, "cell": _inside(cell), "content": dict(sorted(hashes.items()))}


def digest(document: dict[str, Any]) -> str:
    """The first 12 hex digits of SHA-256 over canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cell_id(cell: Cell, hashes: dict[str, str]) -> str:
    return digest(identity(cell, hashes))


def arm_id(cell: Cell, hashes: dict[str, str]) -> str:
    """The id of a cell's arm: all its seeds share it."""
    return digest(without_seed(identity(cell, hashes)))


def without_seed(document: dict[str, Any]) -> dict[str, Any]:
    """The identity of the arm, made of the identity of one of its cells."""
    return document | {"cell": {key: value for key, value in document["cell"].items() if key != "seed"}}


def slug(cell: Cell) -> str:
    """A readable name of at most 60 characters; the id beside it makes it unique."""
    reward = cell.choices.get("reward") or getattr(cell.reward, "name", "reward")
    clip = "" if cell.clip.name == "on" else f"-{cell.clip.name}"
    text = f"{cell.model.name}-{cell.data.name}-{reward}{clip}-s{cell.seed}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:60].strip("-")
