"""The base of every configuration model: frozen, no unknown keys, each field says whether it is in a cell's identity.

class Algo(Strict):
    learning_rate: float = Field(gt=0)
    logging: bool = outside(True)      # cannot change a result: not in cell_id
    whiten: bool = added(False)        # came later: in cell_id only where it is true
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Frozen; an unknown key is an error; numbers are finite; a number where a name is wanted is its text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


def outside(default: Any = ..., **constraints: Any) -> Any:
    """A field outside a cell's identity: it may change where or how a cell runs, never what comes out."""
    return Field(default, json_schema_extra={"identity": False}, **constraints)


def added(default: Any = ..., **constraints: Any) -> Any:
    """A field that came after runs were made: at its default, which means what they did, it is not in the identity, so
    that a new option does not make all old runs new."""
    return Field(default, json_schema_extra={"identity": "unless default"}, **constraints)


def is_always_in_identity(model: type[BaseModel], field: str) -> bool | None:
    """Whether `field` of `model` is part of the cell's identity; None: only where it is not at its default."""
    extra = model.model_fields[field].json_schema_extra
    said = extra.get("identity") if isinstance(extra, dict) else True
    return None if said == "unless default" else said is not False
