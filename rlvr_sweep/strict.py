"""The base of every configuration model: frozen, no unknown keys, each field says whether it is in a cell's identity.

class Algo(Strict):
    learning_rate: float = Field(gt=0)
    logging: bool = outside(True)      # cannot change a result: not in cell_id
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Frozen; an unknown key is an error; numbers are finite; a number where a name is wanted is its text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


def outside(default: Any = ..., **constraints: Any) -> Any:
    """A field outside a cell's identity: it may change where or how a cell runs, never what comes out."""
    return Field(default, json_schema_extra={"identity": False}, **constraints)


def in_identity(model: type[BaseModel], field: str) -> bool:
    """Whether `field` of `model` is part of the cell's identity."""
    extra = model.model_fields[field].json_schema_extra
    return not (isinstance(extra, dict) and extra.get("identity") is False)
