"""The type of a field that holds another reward: a name, a mapping with a name, or its parsed parameters.

class Params(Strict):
    of: Part
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from rlvr_sweep import rewards
from rlvr_sweep.rewards.types import Group, Rewards
from rlvr_sweep.strict import Strict


def _parse(spec: Any) -> Strict:
    return rewards.parse(spec)  # looked up when called: the registry imports the file that imports this one


Part = Annotated[SerializeAsAny[Strict], BeforeValidator(_parse)]


def columns(parts: list[Strict], group: Group) -> list[tuple[float, ...] | None]:
    """The parts' rewards of each completion, side by side; None where any part is unscorable."""
    scored: list[Rewards] = [rewards.score(part, group) for part in parts]
    rows: list[tuple[float, ...] | None] = []
    for row in zip(*scored, strict=True):
        known = tuple(value for value in row if value is not None)
        rows.append(known if len(known) == len(row) else None)
    return rows
