"""Where a cell departs from the paper whose preset it uses, and what its prompts make of its numbers; one line each.

    departures(cell)     # ["algo.learning_rate=1e-06, where arXiv 2506.10947 has 5e-07", ...]

A preset is a file of conf/algo that names its `paper`. The paper's values are those of the file, and under `fixes` of
other groups: a choice of algo cannot set those, an experiment can. A list there holds every value that the paper has.
"""

from functools import cache
from typing import Any

from rlvr_sweep.config.schema import Algo, Cell
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.data.templates import TEMPLATES, needs_chat
from rlvr_sweep.rewards.text import has_code
from rlvr_sweep.strict import is_always_in_identity


def departures(cell: Cell) -> list[str]:
    """What a reader must know beside the numbers of a cell whose choices are all legal."""
    return [*_from_preset(cell), *_of_ends(cell), *_of_prompts(cell)]


@cache
def _shipped(name: str) -> Algo | None:
    if name not in groups(conf_dir())["algo"]:
        return None
    from omegaconf import OmegaConf  # here, not above: the worker reads rules.py, and needs none of it

    return Algo.model_validate(OmegaConf.to_container(OmegaConf.load(conf_dir() / "algo" / f"{name}.yaml")))


def _from_preset(cell: Cell) -> list[str]:
    preset = _shipped(cell.algo.name)
    if preset is None or preset.paper is None:
        return []
    own = {key: getattr(preset, key) for key in Algo.model_fields if is_always_in_identity(Algo, key) is not False}
    wanted = {**preset.fixes, "algo": own | preset.fixes.get("algo", {})}
    if cell.clip.name != "on":  # its bounds are not used then
        wanted["clip"] = {key: value for key, value in wanted.get("clip", {}).items() if key == "name"}
    found = []
    for group, values in wanted.items():
        for key, value in values.items():
            legal = value if isinstance(value, list) else [value]
            actual = getattr(getattr(cell, group), key)
            if actual not in legal:
                has = " or ".join(map(_text, legal))
                found.append(f"{group}.{key}={_text(actual)}, where {preset.paper} has {has}")
    return found


def _text(value: Any) -> str:
    """A value as YAML and the command line have it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _of_ends(cell: Cell) -> list[str]:
    model = cell.model
    if not needs_chat(model.template) or model.end == model.turn_end:
        return []
    about = f"{model.name} is a base model that ends with {model.end}; its chat template ends a turn with"
    if model.turn_end in model.stop_tokens:
        return [f"{about} {model.turn_end}. Completions end at either; at which ones the paper's did is not known."]
    return [
        f"{about} {model.turn_end}, and completions run on behind it; "
        f"model.stop_tokens=['{model.turn_end}'] ends them there"
    ]


def _of_prompts(cell: Cell) -> list[str]:
    model, form = cell.model, TEMPLATES.get(cell.model.template)
    found = []
    if form and form.end and form.end not in model.stop:
        found.append(
            f"model.template={model.template} is made for completions that end with {form.end}; "
            f"model.stop=['{form.end}'] ends them there"
        )
    if form and "<answer>" in form.before and cell.grading.grader != "authors":  # that one finds answers by itself
        where = {"algo": cell.algo.extraction}
        where |= {f"eval.benchmarks.{name}": bench.extraction for name, bench in cell.eval.benchmarks.items()}
        found += [
            f"model.template={model.template} asks for <answer> tags, and {key}.extraction={how} reads boxes only"
            for key, how in where.items()
            if how == "boxed"
        ]
    if model.prefix and has_code(model.prefix):
        found.append(
            f"model.prefix={model.prefix!r} is part of every response, so that code_frequency is 1 by construction"
        )
    return found
