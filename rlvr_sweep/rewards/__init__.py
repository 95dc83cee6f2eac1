"""Rewards: one pure function a file, one registry, and composition. Importing this costs pydantic and nothing heavier.

    from rlvr_sweep.rewards import parse, score
    params = parse({"name": "all_of", "of": ["ground_truth", {"name": "inverse", "of": "python"}]})
    rewards = score(params, group)      # one float a completion, None: unscorable

To add one: write rewards/NAME.py with `class Params(Strict)` and `score(params, group)`, and name it in REGISTRY;
or, without touching this package, `reward=plugin reward.function=module:function` (plugin.py).
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from rlvr_sweep.nearest import nearest
from rlvr_sweep.rewards import (
    all_of,
    any_of,
    format,
    ground_truth,
    incorrect,
    inverse,
    majority_offline,
    majority_online,
    no_repetition,
    plugin,
    python,
    random,
    think_format,
    weighted,
)
from rlvr_sweep.rewards.types import Group, RewardModule, Rewards
from rlvr_sweep.strict import Strict

REGISTRY: dict[str, RewardModule] = {
    "ground_truth": ground_truth,
    "majority_offline": majority_offline,
    "majority_online": majority_online,
    "format": format,
    "think_format": think_format,
    "random": random,
    "incorrect": incorrect,
    "python": python,
    "no_repetition": no_repetition,
    "inverse": inverse,
    "all_of": all_of,
    "any_of": any_of,
    "weighted": weighted,
    "plugin": plugin,
}


def _fault(name: str, model: type[Strict], error: Any) -> str:
    """One pydantic fault as one clause: where, what, and what to write instead where that can be guessed."""
    *parents, last = [str(part) for part in error["loc"]] or [""]
    if error["type"] == "extra_forbidden" and not parents:
        known = [key for key in model.model_fields if key != "name"]
        return f"reward {name!r} has no key {last!r}; {nearest(last, known) if known else 'it takes no keys'}"
    where = ".".join([*parents, last])
    if error["type"] == "missing":
        return f"reward {name!r}: {where} is missing"
    return f"reward {name!r}: {where}: {error['msg'].removeprefix('Value error, ')}"


def parse(spec: Any) -> Strict:
    """The typed parameters of a reward, given as its name, as {"name": ..., **parameters}, or parsed already.

    Raises ValueError, one line, for an unknown name (with the nearest), an unknown key, or a value out of range.
    """
    if isinstance(spec, Strict):
        if any(type(spec) is module.Params for module in REGISTRY.values()):
            return spec
        raise ValueError(f"{type(spec).__name__} is not the Params of a reward; write one of {', '.join(REGISTRY)}")
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, dict):
        raise ValueError(f"a reward is a name or a mapping with a name, not {type(spec).__name__}; write ground_truth")
    name = spec.get("name")
    if not isinstance(name, str):
        raise ValueError(f"a reward needs a name; write name: one of {', '.join(REGISTRY)}")
    if name not in REGISTRY:
        raise ValueError(f"no reward is called {name!r}; {nearest(name, REGISTRY)}")
    model = REGISTRY[name].Params
    try:
        return model.model_validate(spec)
    except ValidationError as error:
        faults = [_fault(name, model, one) for one in error.errors(include_url=False)]
        raise ValueError("; ".join(faults)) from None


def _module(params: Strict) -> RewardModule:
    return REGISTRY[params.name]  # pyright: ignore[reportAttributeAccessIssue]  # every Params has a literal `name`


def score(params: Strict, group: Group) -> Rewards:
    """One reward a completion of `group`, in slot order; None: unscorable. ValueError where a reward miscounts."""
    rewards = _module(params).score(params, group)
    if len(rewards) != len(group.completions):
        name = params.model_dump()["name"]
        raise ValueError(f"reward {name!r} gave {len(rewards)} values for {len(group.completions)} completions")
    return rewards


def _parts(value: Any) -> Iterator[Strict]:
    """`value` and everything nested in it that is a reward."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, Strict):
        if type(value) in {module.Params for module in REGISTRY.values()}:
            yield value
        for key in type(value).model_fields:
            yield from _parts(getattr(value, key))


def has_part(params: Strict, *names: str, **fields: Any) -> bool:
    """Whether this reward, or a part of it, has one of these names (and these parameters)."""
    return any(
        getattr(part, "name", None) in names and all(getattr(part, key) == value for key, value in fields.items())
        for part in _parts(params)
    )


def needs_labels(params: Strict) -> bool:
    """Whether this reward, or a part of it, compares answers with a label file's pseudo-label (Group.label)."""
    return any(getattr(part, "needs_labels", getattr(_module(part), "NEEDS_LABELS", False)) for part in _parts(params))


def needs_votes(params: Strict) -> bool:
    """Whether a majority stands behind this reward, or a part of it: then the group's own vote is worth recording."""
    votes = (majority_online.Params, majority_offline.Params, incorrect.Params)
    return any(isinstance(part, votes) for part in _parts(params))


def reward_content(params: Strict) -> dict[str, str]:
    """SHA-256 of the source files this reward's plug-ins come from, by "reward:module:function".

    It imports them, and so finds a broken one before anything is run: UserError, one line.
    """
    found = [part for part in _parts(params) if isinstance(part, plugin.Params)]
    return {f"reward:{part.function}": plugin.digest(part.function) for part in found}
