"""Where a cell departs from the paper whose preset it uses, and what its prompts make of its numbers; one line each.

    departures(cell)        # ["algo.rollouts=20, where arXiv 2506.10947 has 300", ...]
    fixed_knobs(cell)       # faults: what may not be set beside a preset that goes by its own name

A preset is a file of conf/algo that names its `paper`. The paper's values are those of the file, and under `fixes` of
other groups; a list there holds every value that the paper has, a mapping those of each estimator.advantage, `recipes`
of algo what it has for other tasks, each line as a whole. Who wants another value gives the recipe another `algo.name`:
it is then no preset, and what it changed is printed beside its numbers.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from rlvr_sweep.config.schema import Algo, Cell
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.data.templates import TEMPLATES, asks_for_tags, needs_chat
from rlvr_sweep.grading.rules import MATH
from rlvr_sweep.rewards import has_part
from rlvr_sweep.rewards.text import has_code
from rlvr_sweep.strict import is_always_in_identity

AUTHORS = "arXiv 2506.10947"  # Spurious Rewards
DAPO = ("dapo", "nsr_masked", "psr_masked")  # the choices of estimator that are made for clip=dapo
FREE = {("algo", "rollouts"), ("clip", "name"), ("clip", "match")}  # how long, and the ablations: always printed


def departures(cell: Cell) -> list[str]:
    """What a reader must know beside the numbers of a cell whose choices are all legal."""
    return [*_from_preset(cell), *_of_clip(cell), *_of_ends(cell), *_of_prompts(cell), *_of_rewards(cell)]


@dataclass(frozen=True)
class _Preset:
    """A shipped choice of algo that names a paper. `choices` are those it makes in other groups."""

    algo: Algo
    choices: dict[str, str]

    def wanted(self, algo: Algo) -> dict[str, dict[str, Any]]:
        """By group and key the value, or the list of values, that the paper has; of its `recipes`, which hold together,
        those of the one that is nearest to `algo`."""
        fields = [key for key in Algo.model_fields if is_always_in_identity(Algo, key) is not False]
        own = {key: getattr(self.algo, key) for key in fields}
        fixed = dict(self.algo.fixes.get("algo", {}))
        others = fixed.pop("recipes", [])
        recipes = [{key: own[key] for other in others for key in other} | other for other in [{}, *others]]
        nearest = min(recipes, key=lambda recipe: sum(getattr(algo, key) != value for key, value in recipe.items()))
        return {**self.algo.fixes, "algo": own | fixed | nearest}


@cache
def _shipped(name: str) -> _Preset | None:
    if name not in groups(conf_dir())["algo"]:
        return None
    from omegaconf import OmegaConf  # here, not above: the worker reads rules.py, and needs none of it

    file: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "algo" / f"{name}.yaml"))
    algo = Algo.model_validate(file.get("algo", file))
    made = {key.split("/")[-1]: choice for line in file.get("defaults", []) for key, choice in line.items()}
    return _Preset(algo, made) if algo.paper else None


def _apart(cell: Cell, preset: _Preset) -> list[tuple[str, str, Any, list[Any]]]:
    """(group, key, the cell's value, the paper's) where the two differ."""
    found, by_log_probs = [], cell.estimator.advantage == "entropy_min"
    for group, values in preset.wanted(cell.algo).items():
        for key, value in values.items():
            if isinstance(value, dict):  # by estimator.advantage
                value = value.get(cell.estimator.advantage, [])
            legal = value if isinstance(value, list) else [value]
            actual = getattr(getattr(cell, group), key)
            # The bounds of an off-arm, and what an arm that makes as many updates a rollout is matched on.
            unused = group == "clip" and key.startswith(("epsilon", "dual")) and cell.clip.name != "on"
            unused |= key == "match" and cell.clip.name not in ("off_large_batch", "off_small_rollout")
            # Log-probs always differ within a group, so that there is nothing to drop.
            unused |= key.endswith(("dynamic_sampling", "generation_batches")) and by_log_probs
            unused |= not legal or (key == "empty_labels" and cell.data.labels is None)
            if actual not in legal and not unused:
                found.append((group, key, actual, legal))
    return found


def _preset(cell: Cell) -> _Preset | None:
    return _shipped(cell.choices.get("algo", cell.algo.name))


def _from_preset(cell: Cell) -> list[str]:
    preset = _preset(cell)
    if preset is None:
        return []
    return [
        f"{group}.{key}={_text(actual)}, where {preset.algo.paper} has {' or '.join(map(_text, legal))}"
        for group, key, actual, legal in _apart(cell, preset)
    ]


def fixed_knobs(cell: Cell) -> list[str]:
    """One fault a group in which a preset's own name would stand for something else than its paper's recipe."""
    preset = _preset(cell)
    if preset is None or cell.algo.name != preset.algo.name:
        return []
    by_group: dict[str, list[tuple[str, Any, list[Any]]]] = {}
    for group, key, actual, legal in _apart(cell, preset):
        if (group, key) not in FREE:
            by_group.setdefault(group, []).append((key, actual, legal))
    found = []
    for group, apart in by_group.items():
        here = ", ".join(f"{group}.{key}={_text(actual)}" for key, actual, _ in apart)
        right = " ".join(f"{group}{f'.{key}' * (key != 'name')}={_text(legal[0])}" for key, _, legal in apart)
        choice = preset.choices.get(group)
        # Whether the paper has more than one choice of the group, so that naming the preset's own would mislead.
        varies = any(isinstance(value, dict) for value in preset.wanted(cell.algo)[group].values())
        if choice and len(apart) > 1 and cell.choices.get(group) != choice and not varies:
            right = f"{group}={choice}"
        name = preset.algo.name
        found.append(
            f"{here}: algo={name} fixes {'it' if len(apart) == 1 else 'them'} as {preset.algo.paper} does; "
            f"write {right}, or algo.name=NAME for a recipe of your own, whose departures are then listed"
        )
    return found


def _text(value: Any) -> str:
    """A value as YAML and the command line have it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _of_clip(cell: Cell) -> list[str]:
    """DAPO is two choices: its sampling is an estimator, its bounds are a clip."""
    clip, name = cell.clip, cell.choices.get("estimator", cell.estimator.name)
    if name not in DAPO or clip.name != "on" or clip.epsilon_high > clip.epsilon_low:
        return []
    return [
        f"estimator={name} without DAPO's clip-higher: clip.epsilon_high={clip.epsilon_high:g}; clip=dapo has 0.28."
    ]


def _of_ends(cell: Cell) -> list[str]:
    model = cell.model
    if not needs_chat(model.template) or model.end == model.turn_end:
        return []
    about = f"{model.name} is a base model that ends with {model.end}; its chat template ends a turn with"
    if model.turn_end in model.stop_tokens:
        return [f"{about} {model.turn_end}. Completions end at either; at which ones the paper's did is not known."]
    return [
        f"{about} {model.turn_end}, and completions run on behind it; "
        f"\"model.stop_tokens=['{model.turn_end}']\" ends them there"
    ]


def _of_prompts(cell: Cell) -> list[str]:
    model, form = cell.model, TEMPLATES.get(cell.model.template)
    found = []
    if form and form.end and form.end not in model.stop:
        found.append(
            f"model.template={model.template} is made for completions that end with {form.end}; "
            f"\"model.stop=['{form.end}']\" ends them there"
        )
    found += unread_tags(cell).values()
    if model.template.startswith("r1") and cell.grading.grader == "authors" and cell.algo.extraction != "tagged":
        found.append(
            f"model.template={model.template} asks for <answer> tags, and algo.extraction={cell.algo.extraction} takes "
            "an answer from the whole response; the authors' code takes what follows the last <answer>, as "
            "algo.extraction=tagged does"
        )
    preset = _preset(cell)
    if model.template == "r1" and preset is not None and preset.algo.paper == AUTHORS:
        found.append(
            "model.template=r1 has line breaks, and BOS where the tokenizer puts it; the paper's script trained with a "
            "backslash and an n in their place (model.template=r1_literal), and without BOS"
        )
    if model.prefix and has_code(model.prefix):
        found.append(
            f"model.prefix={model.prefix!r} is part of every response, so that code_frequency is 1 by construction"
        )
    return found


def unread_tags(cell: Cell) -> dict[str, str]:
    """Where answers are asked for in tags and looked for in boxes: what to say, by "algo" or "eval.benchmarks.NAME"."""
    template = cell.model.template
    if not asks_for_tags(template) or cell.grading.grader == "authors":  # that one finds answers by itself
        return {}
    where = {"algo": (cell.algo.extraction, cell.data.verifier)}
    where |= {f"eval.benchmarks.{name}": (b.extraction, b.verifier) for name, b in cell.eval.benchmarks.items()}
    return {
        key: f"model.template={template} asks for <answer> tags, and {key}.extraction=boxed reads boxes only; "
        f"{key}.extraction=tagged reads them"
        for key, (how, verifier) in where.items()
        if how == "boxed" and verifier == MATH  # that of a puzzle also reads tags
    }


def _of_rewards(cell: Cell) -> list[str]:
    """Where the paper's words and its code give other rewards."""
    preset = _preset(cell)
    if preset is None or preset.algo.paper != AUTHORS or not has_part(cell.reward, "format", variant="at_least_one"):
        return []
    code = 'its code looks behind the last "boxed", as reward.variant=last_box does'
    if cell.model.template.startswith("r1"):
        code = "its code gives 1 to any response in r1 style, which is no signal"
    return [f"The format reward wants one non-empty \\boxed{{}}, as the paper says; {code}."]
