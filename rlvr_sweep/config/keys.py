"""Every key a user may write, read off the schema.

is_known("algo.rollouts"), is_known("eval.benchmarks.mine.path")
"""

import functools
import typing
from collections.abc import Iterable

from pydantic import BaseModel

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.rewards import REGISTRY


def _models(annotation: object) -> Iterable[type[BaseModel]]:
    """The pydantic models an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _walk(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        is_map = typing.get_origin(field.annotation) is dict
        for inner in _models(field.annotation):
            yield from _walk(inner, f"{key}.*." if is_map else f"{key}.")
        if is_map:
            yield f"{key}.*"


@functools.cache
def known_keys() -> frozenset[str]:
    """All keys of a cell, dotted; `*` stands for a name of the user's own (a benchmark, a parameter of a plug-in)."""
    keys = set(_walk(Cell, ""))
    for module in REGISTRY.values():
        keys |= set(_walk(module.Params, "reward."))
    return frozenset(keys - {"choices", "deviations"})


def is_known(key: str) -> bool:
    """Whether `key` is one of a cell's, `*` matching any single part."""
    keys = known_keys()
    if key in keys:
        return True
    parts = key.split(".")
    candidates = (k.split(".") for k in keys if "*" in k)
    return any(len(c) == len(parts) and all(a in ("*", b) for a, b in zip(c, parts, strict=True)) for c in candidates)
