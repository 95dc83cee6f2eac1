"""How arms are called in a table: data / reward and model, and whatever else of their identity tells them apart.

    labels(records)[arm_id].row     # "lab/add / python, algo.learning_rate=0.001"

Two arms never get the same label: a difference that no name shows is spelled out as key=value. A picture of one cell
names its clip and estimator whatever they are: told_update(record).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlvr_sweep.report.record import Record

PLAIN = {"loss": "dapo", "scale": "group", "kl": 0.0}  # of an estimator: what needs no saying


@dataclass(frozen=True)
class Label:
    """`row` and `model` are the place in the grid; data and reward are there by themselves for machines."""

    data: str
    reward: str
    model: str
    row: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def labels(records: Sequence[Record]) -> dict[str, Label]:
    """The label of each record's arm, by arm_id; give one record an arm."""
    flat = {record.arm_id: _flat(record) for record in records}
    base = {record.arm_id: _base(record) for record in records}
    extra = _telling(records, flat, base)
    found = {}
    for record in records:
        data, reward, model = base[record.arm_id]
        said = {name: name.removeprefix("content.").split(".")[0] == "model" for name in extra}
        values = {name: _value(record, flat[record.arm_id], name) for name in extra}
        row = ", ".join([f"{data} / {reward}", *(f"{n}={values[n]}" for n, of_model in said.items() if not of_model)])
        column = ", ".join([model, *(f"{n}={values[n]}" for n, of_model in said.items() if of_model)])
        found[record.arm_id] = Label(data=data, reward=reward, model=column, row=row)
    return found


def told_update(record: Record) -> str:
    """The clip and the estimator of a cell: "clip=dapo (0.2, 0.28, dual 10), estimator=dapo (dynamic_sampling=True)".

    In brackets are the bounds, what an arm is matched on, and whatever of an estimator is not as in plain GRPO.
    """
    choices, cell = record.cell.get("choices") or {}, record.document["identity"]["cell"]
    clip, estimator = cell.get("clip") or {}, cell.get("estimator") or {}
    is_on = clip.get("name") == "on"
    of_clip = [_short(clip[key]) for key in ("epsilon_low", "epsilon_high") if is_on and key in clip]
    of_clip += [f"dual {_short(clip['dual'])}"] if "dual" in clip else []
    of_clip += [f"match={clip['match']}"] if clip.get("name") in ("off_large_batch", "off_small_rollout") else []
    of_estimator = [
        f"{key}={_short(value)}" for key, value in estimator.items() if key != "name" and value != PLAIN.get(key)
    ]
    named = {"clip": (clip, of_clip), "estimator": (record.cell.get("estimator") or {}, of_estimator)}
    return ", ".join(
        f"{group}={choices.get(group) or section.get('name', '-')}" + (f" ({', '.join(more)})" if more else "")
        for group, (section, more) in named.items()
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _telling(
    records: Sequence[Record], flat: Mapping[str, Mapping[str, Any]], base: Mapping[str, tuple[str, str, str]]
) -> list[str]:
    """The keys, or groups by their choice, that tell apart arms with the same data, reward and model."""
    same: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        same.setdefault(base[record.arm_id], []).append(record)
    names: dict[str, None] = {}
    for members in same.values():
        keys = dict.fromkeys(key for record in members for key in flat[record.arm_id])
        varied = [key for key in keys if len({repr(flat[r.arm_id].get(key)) for r in members}) > 1]
        for group in dict.fromkeys(key.split(".")[0] for key in varied):
            inside = [key for key in varied if key.split(".")[0] == group]
            names |= dict.fromkeys([group] if _chosen(members, flat, group, inside) else inside)
    return list(names)


def _chosen(members: Iterable[Record], flat: Mapping[str, Mapping[str, Any]], group: str, keys: Sequence[str]) -> bool:
    """Whether the choice made in `group` alone tells all these values: one choice, one set of values."""
    sets: dict[Any, set[str]] = {}
    for record in members:
        choice = (record.cell.get("choices") or {}).get(group)
        sets.setdefault(choice, set()).add(repr([flat[record.arm_id].get(key) for key in keys]))
    return None not in sets and all(len(values) == 1 for values in sets.values())


def _value(record: Record, flat: Mapping[str, Any], name: str) -> str:
    choices = record.cell.get("choices") or {}
    value = flat[name] if name in flat else choices.get(name, "-")
    return value[:8] if name.startswith("content.") and isinstance(value, str) else str(value)


def _flat(record: Record) -> dict[str, Any]:
    """The identity of an arm as dotted keys; file hashes under "content."."""
    identity = record.document["identity"]
    found: dict[str, Any] = {}

    def walk(value: Any, at: str) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(item, f"{at}.{key}" if at else key)
        else:
            found[at] = value

    walk({**identity["cell"], "content": identity.get("content") or {}}, "")
    found.pop("seed", None)
    return found


def _base(record: Record) -> tuple[str, str, str]:
    """Data, reward and model as a user calls them: a file or folder by its name; a reward by the choice made of
    conf/reward/, which says more than the reward's own name where rewards are composed."""
    data, model = record.cell["data"], record.cell["model"]
    choices = record.cell.get("choices") or {}
    of_data = (
        f"{data['name']}:{Path(data['path']).name}" if data.get("kind") == "file" and data.get("path") else data["name"]
    )
    of_model = f"path:{Path(model['path']).name}" if model["name"] == "path" and model.get("path") else model["name"]
    return of_data, choices.get("reward") or record.cell["reward"]["name"], of_model
