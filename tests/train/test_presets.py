"""Presets inherit nothing: what each asks of TRL is pinned, and so is every default of TRL that we do not state.

python -m tests.train.test_presets      # writes presets/*.json anew; read the diff before you keep it
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from trl.trainer.grpo_config import GRPOConfig

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Algo, Cell
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.errors import UserError
from rlvr_sweep.strict import is_always_in_identity
from rlvr_sweep.train import arguments as ours

HERE = Path(__file__).resolve().parent / "presets"
MATH, GENERAL = "model=qwen2.5_math_7b", "model=qwen2.5_7b"
PRESETS = {  # what each is used with; its estimator, clip, reward and grader it brings itself
    "spurious_rewards": [MATH],
    "model_task_alignment": [GENERAL],
    "one_shot_rlvr": [MATH],
    "ttrl": [MATH],
    "ttrl_first_release": [MATH],
    "rlvr_decomposed": [MATH],
}
GRPO = ["estimator=grpo", "estimator.kl=0.001", "estimator.std_epsilon=1e-06"]  # the arm of rlvr_decomposed
APART = r"=\S+, where .* has "
PLACES = {"output_dir", "use_cpu"}


def cell(name: str, *more: str) -> Cell:
    lines = [f"algo={name}", "data=deepscaler", "eval=none", *PRESETS[name], *more]

    return compose_or_refuse(lines, multirun=False)[0].cell


def stated(name: str) -> dict[str, Any]:
    """What a preset passes to GRPOConfig, by field."""
    passed: dict[str, Any] = {}

    def spied(**kwargs: Any) -> GRPOConfig:
        passed.update(kwargs)
        return GRPOConfig(**kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "GRPOConfig", spied)
        config = ours.arguments(cell(name), HERE, use_cpu=True)
    # what it came to, where GRPOConfig made something else of it
    return {key: plain(getattr(config, key)) for key in sorted(passed) if key not in PLACES}


def brought(name: str) -> dict[str, Any]:
    """What a preset makes of the groups that are no GRPOConfig's."""
    found = cell(name)
    parts = {"algo": found.algo, "estimator": found.estimator, "clip": found.clip, "reward": found.reward}
    return {key: part.model_dump(exclude={"deviations", "fixes", "paper"}) for key, part in parts.items()}


def unstated() -> dict[str, Any]:
    """TRL's own value of every field that no preset states."""
    known = {key for name in PRESETS for key in stated(name)} | PLACES
    defaults = {}
    for field in dataclasses.fields(GRPOConfig):
        if field.init and field.name not in known:
            made = field.default_factory() if callable(field.default_factory) else field.default
            defaults[field.name] = plain(made)
    return dict(sorted(defaults.items()))


def plain(value: Any) -> Any:
    if isinstance(value, dict | list | tuple | bool | int | float | None):
        return json.loads(json.dumps(value))
    return str(getattr(value, "value", value))


def pinned(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text())


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_asks_of_trl(name: str) -> None:
    assert stated(name) == pinned(name)


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_makes_of_estimator_clip_and_reward(name: str) -> None:
    assert brought(name) == pinned(f"{name}-cell")


def test_no_default_of_trl_has_changed_that_no_preset_states() -> None:
    assert unstated() == pinned("trl_defaults")


def test_every_preset_of_a_paper_is_pinned() -> None:
    files = (conf_dir() / "algo").glob("*.yaml")
    assert {file.stem for file in files if "paper" in yaml.safe_load(file.read_text()).get("algo", {})} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_spells_out_every_knob(name: str) -> None:
    said = yaml.safe_load((conf_dir() / "algo" / f"{name}.yaml").read_text())["algo"]
    assert {key for key in Algo.model_fields if is_always_in_identity(Algo, key) is not False} <= set(said)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_brings_all_that_its_paper_fixes(name: str) -> None:
    assert not [line for line in cell(name).deviations if re.search(APART, line)]


@pytest.mark.parametrize(
    ("name", "line", "said", "instead"),
    [
        ("spurious_rewards", "algo.learning_rate=1e-6", "algo.learning_rate=1e-06: ", "algo.learning_rate=5e-07"),
        ("spurious_rewards", "estimator=grpo", "estimator.whiten=false, ", "estimator=spurious_rewards"),
        ("spurious_rewards", "estimator.whiten=false", "estimator.whiten=false: ", "estimator.whiten=true"),
        ("spurious_rewards", "clip.epsilon_high=0.28", "clip.epsilon_high=0.28: ", "clip.epsilon_high=0.2"),
        ("spurious_rewards", "grading.grader=math_verify", "grading.grader=math_verify", "grading.grader=authors"),
        ("model_task_alignment", "clip=on", "clip.dual=null", "clip=dapo"),
        ("model_task_alignment", "estimator=grpo", "estimator.dynamic_sampling=false", "estimator=dapo"),
        ("one_shot_rlvr", "estimator.kl=0", "estimator.kl=0: ", "estimator.kl=0.001"),
        ("ttrl", "algo.votes_per_prompt=48", "algo.votes_per_prompt=48: ", "algo.votes_per_prompt=64"),
        ("ttrl_first_release", "estimator.loss_batch=4", "estimator.loss_batch=4: ", "estimator.loss_batch=2"),
        ("rlvr_decomposed", "algo.weight_decay=0", "algo.weight_decay=0: ", "algo.weight_decay=0.01"),
        ("rlvr_decomposed", "estimator.psr_weight=7", "estimator.psr_weight=7: ", "estimator.psr_weight=0.1"),
        ("rlvr_decomposed", "estimator.kl=0.001", "estimator.kl=0.001: ", "estimator.kl=0"),
    ],
)
def test_a_knob_that_a_preset_fixes_is_refused_unless_the_recipe_gets_a_name_of_its_own(
    name: str, line: str, said: str, instead: str
) -> None:
    with pytest.raises(UserError) as caught:
        cell(name, line)
    told = str(caught.value)
    assert "\n" not in told and said in told and f": algo={name} fixes " in told
    assert f"; write {instead}, or algo.name=NAME for" in told
    assert cell(name, instead).algo.name == name  # what it says to write is taken
    ours = cell(name, line, "algo.name=ours")
    assert [
        found for found in ours.deviations if found.startswith(re.split(r"[.=]", line)[0]) and re.search(APART, found)
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_beside_a_lab_model_is_told_to_take_another_model(name: str) -> None:
    """What it fixes does not fit there: to make it smaller would be refused next."""
    with pytest.raises(UserError, match=r"exceed the model's context of 256; .*, or model=NAME, one that takes more"):
        compose_or_refuse([f"algo={name}"], multirun=False)


def test_ttrl_is_its_vote() -> None:
    with pytest.raises(UserError, match=r"algo=ttrl fixes it .* write reward=majority_online,"):
        cell("ttrl", "reward=ground_truth")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("algo.rollouts=20", "algo.rollouts=20, where arXiv 2506.10947 has 300 or 60 or 100"),
        ("clip=off_logprob", "clip.name=off_logprob, where arXiv 2506.10947 has on or off_"),
        ("clip=off_large_batch", "clip.match=updates, where arXiv 2506.10947 has rollouts"),
    ],
)
def test_a_pilot_and_an_ablation_keep_the_presets_name_and_are_listed(line: str, said: str) -> None:
    assert [found for found in cell("spurious_rewards", line).deviations if found.startswith(said)]


def test_the_papers_own_arms_are_no_departure() -> None:
    for line in ("clip=off_epsilon", "clip=off_large_batch clip.match=rollouts", "algo.rollouts=60"):
        assert not [found for found in cell("spurious_rewards", *line.split()).deviations if re.search(APART, found)]
    assert not [
        found for found in cell("model_task_alignment", "estimator=entropy_min").deviations if re.search(APART, found)
    ]
    for lines in (["estimator=nsr"], ["estimator=psr"], ["estimator.psr_weight=1"], GRPO):
        assert not [found for found in cell("rlvr_decomposed", *lines).deviations if re.search(APART, found)]


@pytest.mark.parametrize(
    ("name", "lines", "missing"),
    [
        ("ttrl", ["algo.rollouts=240", "algo.warmup_updates=58"], "algo.max_prompt_tokens=512"),
        ("ttrl", ["algo.warmup_updates=72"], "algo.warmup_updates=149"),
        ("ttrl_first_release", ["algo.prompts_per_rollout=128"], "algo.prompts_per_rollout=64"),
        (
            "ttrl_first_release",
            ["algo.prompts_per_rollout=128", "algo.updates_per_rollout=128", "algo.warmup_updates=384"],
            "algo.votes_per_prompt=32",
        ),
    ],
)
def test_what_a_paper_has_for_another_task_holds_together(name: str, lines: list[str], missing: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"write {missing}, or algo.name=NAME")):
        cell(name, *lines)
    whole = [*lines, missing] if missing.split("=")[0] not in "".join(lines) else [missing]
    assert not [found for found in cell(name, *whole).deviations if re.search(APART, found)]


def test_each_estimator_of_a_paper_has_knobs_of_its_own() -> None:
    with pytest.raises(UserError, match=re.escape(f"write {' '.join(reversed(GRPO[1:]))}, or algo.name=NAME")):
        cell("rlvr_decomposed", "estimator=grpo")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for one in PRESETS:
        (HERE / f"{one}.json").write_text(json.dumps(stated(one), indent=1) + "\n")
        (HERE / f"{one}-cell.json").write_text(json.dumps(brought(one), indent=1) + "\n")
    (HERE / "trl_defaults.json").write_text(json.dumps(unstated(), indent=1) + "\n")
