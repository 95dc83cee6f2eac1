"""From override lines to cells: every shipped choice composes, every mistake is one line that says what to write."""

import json
from pathlib import Path

import pytest

from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading.rules import KOR

NEEDS = {  # what a choice cannot do without
    ("data", "jsonl"): ["data.path={tmp}/rows.jsonl"],
    ("model", "path"): ["model.path=lab:llama"],
    ("reward", "plugin"): ["reward.function=plugin_for_tests:halves"],
    ("reward", "majority_offline"): ["data.labels={tmp}/labels.jsonl"],
    ("reward", "incorrect"): ["data.labels={tmp}/labels.jsonl"],
    ("reward", "inverse"): ["reward.of=python"],
    ("reward", "all_of"): ["reward.of=[format,python]"],
    ("reward", "any_of"): ["reward.of=[format,python]"],
    ("reward", "weighted"): ["reward.of=[{reward: format, weight: 2}]"],
    ("eval", "math500"): ["eval.benchmarks.math500.max_completion_tokens=null"],
    ("eval", "amc"): ["eval.benchmarks.amc.max_completion_tokens=null"],
    ("eval", "aime24"): ["eval.benchmarks.aime24.max_completion_tokens=null"],
    ("eval", "aime25"): ["eval.benchmarks.aime25.max_completion_tokens=null"],
    **{("eval", name): ["model=qwen2.5_7b"] for name in ("paper", "paper_logic", "model_task_alignment")},
    **{("reward", f"labelled/{r}"): ["data.labels={tmp}/labels.jsonl"] for r in ("majority_offline", "incorrect")},
    ("reward", "labelled/incorrect_without_python"): ["data.labels={tmp}/labels.jsonl"],
    ("data", "one_shot/dsr_sub"): ["data.path={tmp}/rows.jsonl"],
    ("algo", "model_task_alignment"): ["model=qwen2.5_7b"],
    **{("algo", preset): ["model=qwen2.5_math_7b"] for preset in ("spurious_rewards", "one_shot_rlvr", "ttrl")},
    ("algo", "ttrl_first_release"): ["model=qwen2.5_math_7b", "data=deepscaler"],
    ("algo", "rlvr_decomposed"): ["model=qwen2.5_math_7b", "data=deepscaler"],
    ("data", "deepscaler"): ["model=qwen2.5_math_7b"],
    ("data", "math500"): ["model=qwen2.5_math_7b"],
    **{("data", f"kor/{category}"): ["data.path={tmp}/rows.jsonl"] for category in KOR},
    ("eval", "kor"): ["eval.path={tmp}/rows.jsonl"],
    **{("compute", f"zero{stage}_2x8"): ["algo.completions_per_prompt=32"] for stage in (1, 2, 3)},
}
CHOICES = [(group, choice) for group, choices in groups(conf_dir()).items() for choice in choices]
CHOICES = [(group, choice) for group, choice in CHOICES if group != "experiment"]  # grids: test_experiments.py


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=lambda word: str(word))
def test_every_shipped_choice_makes_a_cell(
    group: str, choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": str(i), "prompt": f"What is {i}+1?", "answer": str(i + 1)} for i in range(16)]
    rows = [json.dumps(row | {"rule": "Add one.", "question": f"What is {row['id']}?"}) + "\n" for row in rows]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    (tmp_path / "labels.jsonl").write_text('{"id": "add-36-51", "label": "1"}\n')
    (tmp_path / "plugin_for_tests.py").write_text("def halves(group):\n    return [0.5] * len(group.completions)\n")
    monkeypatch.chdir(tmp_path)
    needs = [need.replace("{tmp}", str(tmp_path)) for need in NEEDS.get((group, choice), [])]
    grid = compose([f"{group}={choice}", *needs], multirun=False)
    assert grid.faults == []
    assert len(grid.cells) == 1
    assert grid.cells[0].cell.choices[group] in (choice, {"on": "True", "off": "False"}.get(choice))


def refused(*lines: str, multirun: bool = False) -> list[str]:
    with pytest.raises(UserError) as caught:
        compose_or_refuse(list(lines), multirun=multirun)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("line", "where", "remedy"),
    [
        ("sead=1", "sead=1", "seed"),
        ("+sead=1", "+sead=1", "seed"),
        ("++algo.rolouts=3", "algo.rolouts", "algo.rollouts"),
        ("rollouts=3", "rollouts=3", "algo.rollouts"),
        ("model=lab/lama", "model=lab/lama", "lab/llama"),
        ("modle=lab/llama", "modle", "model"),
        ("seed=abc", "seed='abc'", "valid integer"),
        ("seed=-1", "seed=-1", "greater than or equal to 0"),
        ("algo.learning_rate=0", "algo.learning_rate=0", "greater than 0"),
        ("reward.gamma=2", "reward", "ground_truth"),
        ("estimator.loss=dappo", "estimator.loss='dappo'", "'dapo'"),
        ("algo.updates_per_rollout=1", "algo.updates_per_rollout", "clip=off_large_batch"),
        ("algo.updates_per_rollout=3", "algo.updates_per_rollout", "2 or 4"),
        ("compute.ranks=3", "algo.prompts_per_rollout", "15 or 18"),
        ("data.count=8", "data: 8 rows", "algo.prompts_per_rollout=8"),
        ("algo.max_completion_tokens=250", "algo.max_completion_tokens", "algo.max_completion_tokens=192"),
        ("model.template=r1", "model.template", "chat, raw"),
        ("model.path=null", "model", "model=path model.path=DIR"),
        ("reward=incorrect", "data.labels", "write data.labels=labels/lab/qwen_math/lab/add.jsonl, made by: python -m"),
        ("eval.benchmarks.add.temperature=0", "eval.benchmarks.add.samples", "write 1"),
        ("eval.benchmarks.add.ks=[8]", "eval.benchmarks.add.ks", "eval.benchmarks.add.samples=8"),
        ("seed=0,1", "seed=0,1", "-m"),
        ("~seed", "~seed", "seed=null"),
        ("seed=[1,2", "seed=[1,2", "quotes"),
        ("hydra.run.dir=x", "hydra.run.dir=x", "--help"),
        ("hydra/sweeper=basic", "hydra/sweeper=basic", "--help"),
        ("hydra/launcher=slrum", "hydra/launcher=slrum", "did you mean slurm?"),
        ("hydra/launcher=local,slurm", "hydra/launcher=local,slurm", "hydra/launcher=local"),
        ("seed=interval(0,1)", "seed=interval(0,1)", "range("),
        ("seed=range(5,0)", "seed=range(5,0)", "range("),
        ("seed=range(0,inf)", "seed=range(0,inf)", "range("),
        ("seed=glob(*)", "seed=glob(*)", "seed=A,B"),
        ("model=glob(lama*)", "model=glob(lama*)", "lab/llama"),
        ("model=range(0,3)", "model=range(0,3)", "model=A,B"),
        ("model@eval=lab/llama", "model@eval=lab/llama", "model=lab/llama"),
        ("experiment=lab/reward", "experiment=lab/reward", "lab/rewards"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(line: str, where: str, remedy: str) -> None:
    [message] = refused(line)
    assert message.lstrip("+").startswith(where.lstrip("+"))
    assert remedy in message


def test_all_faults_come_at_once() -> None:
    messages = refused("sead=1", "model=lab/lama", "algo.rollouts=0", "data.count=0")
    assert len(messages) == 4


def test_the_faults_of_every_cell_of_a_grid_come_at_once() -> None:
    messages = refused("seed=0,-1,-2", multirun=True)
    assert len(messages) == 2


@pytest.mark.parametrize(
    "line",
    [
        "tracking.api_key=abc",
        "+wandb.api_key=abc",
        "hf_token=abc",
        "tracking.entity=" + "0123456789abcdef" * 2 + "01234567",
    ],
)
def test_a_secret_is_refused_and_not_repeated(line: str) -> None:
    [message] = refused(line)
    assert line.split("=")[1] not in message
    assert "WANDB_API_KEY" in message


def test_a_commit_is_no_secret() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    [composed] = compose_or_refuse(["model=qwen2.5_math_7b", f"model.revision={commit}"], multirun=False)
    assert composed.cell.model.revision == commit


def test_a_grid_is_the_product_of_its_sweeps() -> None:
    cells = compose_or_refuse(["model=lab/qwen,lab/olmo", "seed=0,1,2"], multirun=True)
    assert [(c.cell.model.name, c.cell.seed) for c in cells] == [
        (model, seed) for model in ("lab/qwen", "lab/olmo") for seed in (0, 1, 2)
    ]


def test_of_two_lines_for_a_key_the_last_counts() -> None:
    [composed] = compose_or_refuse(["seed=0,1", "model=lab/qwen", "seed=3", "model=lab/olmo"], multirun=True)
    assert (composed.cell.seed, composed.cell.model.name) == (3, "lab/olmo")


def test_the_launcher_is_no_part_of_a_cell() -> None:
    grid = compose(["hydra/launcher=slurm", "seed=1"], multirun=False)
    assert (grid.launcher, grid.faults, [cell.overrides for cell in grid.cells]) == ("slurm", [], [("seed=1",)])
    assert compose(["seed=1"], multirun=False).launcher is None
    assert grid.cells[0].cell_id == compose_or_refuse(["seed=1"], multirun=False)[0].cell_id


def test_a_debug_choice_can_be_taken_away(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "small.yaml"
    file.write_text("# @package _global_\ndefaults:\n  - override /debug: smoke\n")
    lines = ["experiment=small", "debug=null,smoke"]
    cells = compose_or_refuse(lines, multirun=True, config_dir=tmp_path)
    assert [cell.cell.algo.rollouts for cell in cells] == [20, 2]


def test_a_folder_of_runs_beside_ones_own_choices_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    [composed] = compose_or_refuse([f"runs={tmp_path}/runs"], multirun=False, config_dir=tmp_path)
    assert composed.cell.runs == f"{tmp_path}/runs"


def test_a_tree_of_ones_own_adds_choices(tmp_path: Path) -> None:
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "mine.yaml").write_text("name: random\ngamma: 0.25\n")
    [composed] = compose_or_refuse(["reward=mine"], multirun=False, config_dir=tmp_path)
    assert composed.cell.reward.model_dump()["gamma"] == 0.25


def test_eval_path_serves_the_only_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "a", "prompt": "What is 1+1?", "answer": "2"}\n')
    lines = ["eval=math500", f"eval.path={file}", "eval.benchmarks.math500.max_completion_tokens=null"]
    [composed] = compose_or_refuse(lines, multirun=False)
    bench = composed.cell.eval.benchmarks["math500"]
    assert (bench.kind, bench.path, bench.prompt_column) == ("file", str(file), "prompt")


def test_a_small_rollout_is_divided_by_updates_and_ranks() -> None:
    lines = ["clip=off_small_rollout", "compute.device=cpu", "algo.updates_per_rollout=8"]
    [fault] = compose([*lines, "compute.ranks=4"], multirun=False).faults
    assert fault.endswith("divides 16 prompts by 8 updates and 4 ranks; write 32, or compute.ranks=2")
    for more in (["compute.ranks=2"], ["compute.ranks=4", "algo.prompts_per_rollout=32"]):
        assert not compose([*lines, *more], multirun=False).faults
