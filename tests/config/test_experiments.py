"""Every shipped experiment composes: all its cells are judged, without faults, without a network, and say what they
depart from."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from rlvr_sweep.config import rules
from rlvr_sweep.config.compose import Composed, compose, compose_or_refuse
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.evals.baseline import PYTHON
from rlvr_sweep.rewards import has_part
from rlvr_sweep.sweep.presets import ABOUT, presets, said

pytestmark = pytest.mark.slow  # 500 cells, composed once: 40 seconds
EXPERIMENTS = groups(conf_dir())["experiment"]
LAB = [name for name in EXPERIMENTS if name.startswith("lab/")]
PAPERS = [name for name in EXPERIMENTS if name not in LAB]
FIGURES = {  # those of the papers that have a version for two cores
    "spurious_rewards": {
        *("rewards", "gamma", "clipping", "python_reward", "compound", "no_repetition", "ttrl", "one_shot"),
        *("spurious_prompts", "forced_prefix"),
    },
    "model_task_alignment": {"rq1", "rq1_entropy", "rq2", "rq3", "alignment", "contamination"},
}


def text(name: str) -> str:
    return (conf_dir() / "experiment" / f"{name}.yaml").read_text()


@pytest.fixture(autouse=True, scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Label files where `label` would put them; only that they are there counts here."""
    tmp_path = tmp_path_factory.mktemp("labelled")
    for model in groups(conf_dir())["model"]:
        for data in ("deepscaler", "lab/add"):
            file = tmp_path / "labels" / model / f"{data}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text('{"id": "add-36-51", "label": "87"}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        yield


@cache
def cells(name: str, *lines: str) -> list[Composed]:
    return compose_or_refuse([f"experiment={name}", *lines], multirun=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_states_its_cells(name: str) -> None:
    found = cells(name)
    counts = [int(number) for number in re.findall(r"\b(\d+) cells?\b", text(name))]
    assert len(found) in counts, f"its comment says {counts} cells"
    assert len({cell.cell_id for cell in found}) == len(found)
    assert text(name).splitlines()[0] == "# @package _global_"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_states_its_cost_and_its_deviations(name: str) -> None:
    unit = r"CPU-seconds" if name in LAB else r"A100-hours"
    assert re.search(rf"\d {unit}", text(name))
    own = yaml.safe_load(text(name))["deviations"]
    assert own
    for cell in cells(name):
        assert set(own) <= set(cell.cell.deviations)


def test_each_figure_is_there_at_the_papers_scale_and_in_the_lab() -> None:
    for paper, names in FIGURES.items():
        assert {f"{paper}/{name}" for name in names} <= set(EXPERIMENTS)
        assert {f"lab/{name}" for name in names} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_experiment_sets_what_its_preset_fixes(name: str) -> None:
    """What is left is named in the file: a figure that is about such a knob, or a control."""
    expected = {
        "spurious_rewards/clipping": {"clip.name=off_logprob"},
        "spurious_rewards/forced_prefix": {"algo.rollouts=1"},
        "model_task_alignment/rq3_raw": {
            *("estimator.advantage=nsr", "estimator.advantage=psr", "estimator.scale=none"),
            *("estimator.std_epsilon=0.0001", "estimator.dynamic_sampling=false"),
        },
    }
    lines = {line.split(",")[0] for cell in cells(name) for line in cell.cell.deviations if ", where arXiv" in line}
    assert lines == expected.get(name, set())


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_experiment_has_its_batches_on_every_preset_or_is_refused(name: str) -> None:
    """It chooses a preset and leaves to it what a preset is about, so that another takes its place as a whole."""
    refused = set()
    for one in cells(name):
        compute, own = one.cell.compute, said(one.cell)
        assert not own & ABOUT
        for preset in presets().values():
            other = preset.model_copy(update={key: getattr(compute, key) for key in own})
            cell = one.cell.model_copy(update={"compute": other})
            if faults := rules.faults(cell):
                assert len(faults) == 1 and faults[0].endswith(", or compute.ranks=8")
                refused.add((cell.clip.name, preset.ranks))
                continue
            batch = rules.arm(cell)
            sizes = (batch.rollout_size, batch.train_batch, batch.optimizer_steps)
            assert sizes == (one.batch.rollout_size, one.batch.train_batch, one.batch.optimizer_steps)
            at_once = batch.ranks * batch.micro_batch
            assert at_once * batch.gradient_accumulation_steps == batch.train_batch
            assert at_once * batch.steps_per_generation == batch.rollout_size
    few = {"ttrl": "on", "spurious_rewards/ttrl": "on", "spurious_rewards/clipping": "off_small_rollout"}
    assert refused == ({(few[name], 16)} if name in few else set())


def test_a_preset_takes_the_place_of_an_experiments_own() -> None:
    [one] = cells("spurious_rewards/base", "compute=zero3_x2")
    assert one.cell.compute == presets()["zero3_x2"].model_copy(update={"backend": "vllm"})


def test_the_command_line_has_the_last_word() -> None:
    found = cells("lab/gamma", "seed=7", "reward.gamma=0.1")
    assert [(cell.cell.seed, cell.cell.reward.model_dump()["gamma"]) for cell in found] == [(7, 0.1)]
    assert compose(["experiment=lab/gamma"], multirun=False).faults[0].endswith("spans 15 cells; add -m")


def test_several_experiments_are_one_grid() -> None:
    found = cells("spurious_rewards/gamma,spurious_rewards/python_reward")
    assert len(found) == 15 and len({cell.cell_id for cell in found}) == 15


TEN = {"qwen2.5_math_7b", "qwen2.5_7b", "olmo2_7b", "olmo2_7b_sft"}
TEN |= {"qwen2.5_math_1.5b", "qwen2.5_1.5b", "llama3.1_8b", "llama3.2_3b"}
TEN |= {"llama3.1_8b_instruct", "llama3.2_3b_instruct"}
TWO = {"qwen2.5_7b", "llama3.1_8b_instruct"}
CODE = {"ground_truth", "format", "labelled/incorrect"}
TASKS = {"deepscaler", "puzzle/operation", "puzzle/cipher"}
LATIN = {"chat_boxed", "math_problem", "simplerl_zoo", "sober", "lorem_ipsum"}
ARMS = {"on", "off_epsilon", "off_policy_gradient", "off_logprob", "off_large_batch", "off_small_rollout"}
FIVE = {"ground_truth", "labelled/majority_offline", "format", "labelled/incorrect", "random"}
TAGGED = {"tagged/ground_truth", "tagged/random", "tagged/incorrect", "think_format", "majority_online"}
TRAINED = {"qwen2.5_math_7b_instruct", "qwen2.5_7b_instruct", "tulu3_8b"}
FIGURE = {  # rollouts, and what varies (spurious_rewards 3 and 6, model_task_alignment 2 and 6)
    "spurious_rewards/rewards": (300, {"model": TEN, "reward": FIVE}),
    "spurious_rewards/one_shot": (300, {"model": TEN, "data": {"one_shot/pi_1"}}),
    "spurious_rewards/gamma": (250, {"model": {"qwen2.5_math_7b"}, "reward.gamma": {0.7, 0.5, 0.3, 0.001, 0.0}}),
    "spurious_rewards/clipping": (200, {"model": {"qwen2.5_math_7b"}, "clip": ARMS, "reward.gamma": {0.5}}),
    "spurious_rewards/python_reward": (100, {"model": TEN, "reward": {"python"}}),
    "spurious_rewards/no_repetition": (140, {"model": TEN, "reward": {"no_repetition"}}),
    "spurious_rewards/ttrl": (100, {"model": TEN, "data": {"math500"}}),
    "spurious_rewards/rl_trained": (100, {"model": TRAINED, "reward": {"ground_truth", "format", "random"}}),
    "spurious_rewards/spurious_prompts": (140, {"template": LATIN, "reward": {"ground_truth", "format", "random"}}),
    "spurious_rewards/forced_prefix": (1, {"model": TEN - {"llama3.1_8b", "llama3.2_3b"}, "prefix": {None, PYTHON}}),
    "spurious_rewards/compound": (
        60,
        {
            "model": {"qwen2.5_math_7b", "qwen2.5_7b", "olmo2_7b_sft"},
            "reward": CODE | {f"{name}_without_python" for name in CODE},
        },
    ),
    "model_task_alignment/rq1": (300, {"model": TWO, "data": TASKS, "reward": TAGGED}),
    "model_task_alignment/rq1_entropy": (300, {"model": TWO, "data": TASKS, "estimator": {"entropy_min"}}),
    "model_task_alignment/rq2": (300, {"model": TWO, "data": {f"one_shot/{d}" for d in ("pi_1", "pi_13", "cipher")}}),
    "model_task_alignment/rq3": (300, {"model": TWO, "data": TASKS, "estimator": {"dapo", "nsr_masked", "psr_masked"}}),
    "model_task_alignment/rq3_raw": (300, {"model": TWO, "data": TASKS, "estimator": {"nsr", "psr"}}),
    "model_task_alignment/alignment": (300, {"model": TWO, "data": TASKS}),
    "one_shot_rlvr": (2000, {"model": {"qwen2.5_math_1.5b"}, "template": {"one_shot_rlvr"}}),
    "rlvr_decomposed": (140, {"model": {"qwen2.5_math_7b"}, "estimator": {"nsr", "psr", "w_reinforce"}}),
    "ttrl": (620, {"model": {"qwen2.5_math_7b"}, "data": {"math500"}}),
}


def varied(one: Composed, key: str) -> object:
    cell = one.cell
    if key in ("template", "prefix"):
        return getattr(cell.model, key)
    if key == "reward.gamma":
        return cell.reward.model_dump()["gamma"]
    return cell.clip.name if key == "clip" else cell.choices[key]


@pytest.mark.parametrize("name", FIGURE)
def test_an_experiment_is_its_figures(name: str) -> None:
    rollouts, axes = FIGURE[name]
    assert {one.cell.algo.rollouts for one in cells(name)} == {rollouts}
    for key, values in axes.items():
        assert {varied(one, key) for one in cells(name)} == values


@pytest.mark.parametrize("name", [name for name in PAPERS if name not in ("ttrl", "spurious_rewards/forced_prefix")])
def test_benchmarks_are_sampled_as_in_the_paper(name: str) -> None:
    """MATH-500 greedily, the small ones as avg@8 at 0.6 (spurious_rewards, section 5)."""
    for one in cells(name):
        found = {n: (b.samples, b.temperature, b.top_p) for n, b in one.cell.eval.benchmarks.items() if b.kind == "hub"}
        assert found == {"math500": (1, 0.0, 1.0)} | dict.fromkeys(("amc", "aime24", "aime25"), (8, 0.6, 1.0))


def test_ttrl_is_evaluated_as_in_its_paper() -> None:
    [bench] = cells("ttrl")[0].cell.eval.benchmarks.values()
    assert (bench.samples, bench.temperature, bench.top_p) == (16, 0.6, 0.95)


OFFERED = [  # what a file's comments and deviations tell to write
    ("model_task_alignment/rq1", "eval=kor eval.path=FOLDER"),
    ("model_task_alignment/rq1", "reward=random"),
    ("model_task_alignment/contamination", "eval=kor eval.path=FOLDER"),
    ("rlvr_decomposed", "estimator=w_reinforce estimator.psr_weight=0.05,0.1,0.2,1"),
    ("rlvr_decomposed", "estimator=grpo estimator.kl=0.001 estimator.std_epsilon=1e-6"),
    ("one_shot_rlvr", "clip=off_large_batch clip.match=rollouts"),
    ("spurious_rewards/clipping", "clip.match=updates"),
    ("spurious_rewards/clipping", "algo.rollouts=650"),
    ("spurious_rewards/clipping", "algo.rollouts=300"),
    ("spurious_rewards/one_shot", "algo.rollouts=100"),
    ("lab/rq1", "reward=random"),
    ("lab/rewards", "model=lab/llama reward=ground_truth,labelled/majority_offline,format,random"),
]


@pytest.mark.parametrize(("name", "words"), OFFERED)
def test_what_an_experiment_offers_composes(name: str, words: str, tmp_path: Path) -> None:
    assert words in re.sub(r"\s+(# )?", " ", text(name))
    (tmp_path / "rows.jsonl").write_text('{"rule": "x", "question": "y", "answer": "[[z]]"}\n')
    found = cells(name, *words.replace("FOLDER", str(tmp_path / "rows.jsonl")).split())
    assert not [line for one in found for line in one.cell.deviations if "reads boxes only" in line]
    if "kor" in words:
        assert all({b.kind for b in one.cell.eval.benchmarks.values()} == {"kor"} for one in found)


@pytest.mark.parametrize("name", [name for name in PAPERS if name.startswith("model_task_alignment/")])
def test_completions_are_evaluated_as_long_as_they_are_trained(name: str) -> None:
    """A model that has learned to think for 8,192 tokens is not cut off at 3,072."""
    for one in cells(name):
        longest = one.cell.algo.max_completion_tokens
        assert {b.max_completion_tokens or longest for b in one.cell.eval.benchmarks.values()} == {longest}


def test_the_labs_rq1_gates_its_rewards_as_the_papers_are_gated() -> None:
    """All want tags in the paper, and a box in the lab, but for the vote, which is over answers in them."""
    gates = {"model_task_alignment/rq1": "think_format", "lab/rq1": "format"}
    for name, gate in gates.items():
        for one in cells(name):
            reward = one.cell.reward
            boxed_anyway = name == "lab/rq1" and reward.model_dump()["name"] == "ground_truth"
            assert has_part(reward, gate) or boxed_anyway or reward.model_dump()["name"] == "majority_online"


def test_the_labs_clipping_study_is_honest_by_construction() -> None:
    """Ten seeds an arm, on-arms that can clip, and a control at learning rates that do not collapse."""
    arms: dict[str, list[Composed]] = {}
    for cell in cells("lab/clipping"):
        arms.setdefault(cell.arm_id, []).append(cell)
    assert all(len(seeds) >= 10 for seeds in arms.values())
    names = {seeds[0].cell.clip.name for seeds in arms.values()}
    assert {"on", "off_epsilon", "off_policy_gradient", "off_logprob", "off_large_batch", "off_small_rollout"} == names
    control = cells("lab/clipping_control")
    rates = {(cell.cell.clip.name, cell.cell.algo.learning_rate) for cell in control}
    assert len({rate for _, rate in rates}) >= 3
    assert {(clip, rate) for clip in ("on", "off_epsilon") for _, rate in rates} == rates
    assert all(cell.batch.updates >= 2 for cell in control)
