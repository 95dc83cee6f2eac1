"""A grid composed the fast way is what Hydra makes of each cell, at the cost of a few compositions."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from rlvr_sweep.config import content, layers
from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.config.grid import Draft, read_spans
from rlvr_sweep.config.layers import Files
from rlvr_sweep.config.overrides import judge
from rlvr_sweep.config.tree import conf_dir

MINE = {  # a user's own tree; what it says need not make a valid cell here
    "reward/interpolated.yaml": "name: random\ngamma: ${estimator.kl}\n",
    "data/reaching.yaml": "defaults:\n  - /reached@_global_\nname: reaching\ntask: mul\n",
    "reached.yaml": "tracking: {entity: reached}\n",
    "model/borrowing.yaml": "name: borrowing\nlora: ${algo.lora}\n",
    "algo/one.yaml": "name: one\nlora: {rank: 1}\n",
    "algo/two.yaml": "name: two\nlora: {rank: 2}\n",
    "debug/merging.yaml": "# @package _global_\nmodel: {lora: {alpha: 3}}\n",  # into what model borrows from algo
    "local/default.yaml": "# @package _global_\nmodel: {note: everywhere}\ntracking: {project: mine}\n",
    "experiment/study.yaml": "# @package _global_\ndefaults:\n  - parent\n  - override /clip: off_epsilon\n"
    "algo: {rollouts: 5}\nhydra: {sweeper: {params: {model: 'lab/qwen,lab/olmo', reward: 'python,random', seed: 3}}}\n",
    "experiment/parent.yaml": "# @package _global_\nestimator: {kl: 0.25}\n",
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for name, text in MINE.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    return tmp_path / "mine"


def drafts(lines: list[str], mine: Path) -> list[Draft]:
    judged = judge(lines, conf_dir(), mine)
    assert judged.faults == []
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        files = Files(conf_dir(), mine)
        spans, faults = read_spans(files, judged.good, lambda more: judge(more, conf_dir(), mine), multirun=True)
        assert faults == []
        return [draft for span in spans for draft in span.drafts()]


def by_hydra(lines: tuple[str, ...], mine: Path) -> dict:
    """The cell as Hydra alone composes it."""
    overrides = [str(override.input_line) for override in judge(list(lines), conf_dir(), mine).good]
    overrides = [line if line != "debug=null" else "~debug" for line in overrides]  # Hydra takes no null for a choice
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        search = f"hydra.searchpath=[file://{mine}]"
        config = hydra_compose("config", [*overrides, search], return_hydra_config=True)
    chosen = config.hydra.runtime.choices
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    choices = {g: str(c) for g, c in chosen.items() if not g.startswith(("hydra", "local")) and c is not None}
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain | {"choices": choices}


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (
            [
                "reward=python,ground_truth_without_python",
                "model.lora={rank: 4, alpha: 8},{rank: 8}",
                "model=lab/qwen,lab/llama",
                "model.lora.rank=2",  # the last counts, also against a mapping
                "eval.benchmarks.add.ks=[1,2]",
                "grading.soft_limit_s=1",
                "debug=smoke",
            ],
            8,
        ),
        (["reward=python,interpolated", "clip=off_epsilon", "estimator.kl=0,0.5"], 4),
        (["reward=python,random", "seed=${algo.rollouts},3"], 4),
        (["data=reaching,lab/add", "reward=incorrect,random", "tracking=online", "data.count=16"], 4),
        (["debug=merging", "model=borrowing", "algo=two,one", "reward=python,random"], 4),
        (["model.lora=null", "model.lora.rank=8", "reward=weighted", "reward.of=[{reward: python, weight: 2}],[]"], 2),
        (["experiment=study", "reward=format,python", "seed=0"], 4),
    ],
    ids=[
        "plain",
        "interpolation",
        "interpolated-value",
        "reaching",
        "merged-interpolation",
        "null-and-lists",
        "experiment",
    ],
)
def test_each_cell_is_what_hydra_makes_of_it(lines: list[str], count: int, mine: Path) -> None:
    found = drafts(lines, mine)
    assert len({draft.lines for draft in found}) == len(found) == count
    for draft in found:
        assert draft.fault is None
        assert draft.config == by_hydra(draft.lines, mine)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, known_layers: dict) -> dict[str, int]:
    """How often Hydra composes and a source is read."""
    known_layers.clear()
    counts = {"hydra": 0, "load": 0}

    def counted(name: str, real: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            counts[name] += 1
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(layers, "hydra_compose", counted("hydra", layers.hydra_compose))
    monkeypatch.setattr(content, "load", counted("load", content.load))
    return counts


def test_a_grid_costs_as_many_compositions_as_its_longest_group_has_choices(calls: dict[str, int]) -> None:
    lines = ["model=glob(lab/*)", "reward=ground_truth,random,python", "data=lab/add,lab/sub", "seed=range(0,10)"]
    cells = compose_or_refuse(lines, multirun=True)
    assert len({cell.cell_id for cell in cells}) == 240
    assert len({cell.arm_id for cell in cells}) == 24
    assert calls == {"hydra": 4, "load": 3}  # two training sets and a benchmark


def test_a_file_that_changes_between_two_commands_is_read_anew(tmp_path: Path) -> None:
    rows = [f'{{"id": "{i}", "prompt": "What is {i}+1?", "answer": "{i + 1}"}}\n' for i in range(16)]
    lines, file, ids = ["data=jsonl", f"data.path={tmp_path}/rows.jsonl"], tmp_path / "rows.jsonl", []
    for changed in (rows, [*rows[1:], rows[0]]):
        file.write_text("".join(changed))
        ids.append(compose_or_refuse(lines, multirun=False)[0].cell_id)
    assert ids[0] != ids[1]


def test_a_huge_grid_is_counted_not_made(calls: dict[str, int]) -> None:
    grid = compose(["model=lab/qwen,lab/llama", "seed=shuffle(range(0,1000000000))"], multirun=True)
    [fault] = grid.faults
    assert fault.startswith("2,000,000,000 cells are more than sweep.max_cells=1000")
    assert "write sweep.max_cells=2000000000" in fault
    assert calls == {"hydra": 1, "load": 0}


def test_the_limit_is_the_users_to_set() -> None:
    lines = ["seed=0,1,2", "tracking=off"]
    assert "sweep.max_cells=3" in compose([*lines, "sweep.max_cells=2"], multirun=True).faults[0]
    assert len(compose([*lines, "sweep.max_cells=3"], multirun=True).cells) == 3
    assert len(compose([*lines, "sweep.max_cells=2"], multirun=True, limit=False).cells) == 3


def test_an_experiment_brings_its_grid_and_the_command_line_replaces_its_keys(mine: Path) -> None:
    cells = compose_or_refuse(["experiment=study"], multirun=True, config_dir=mine)
    assert [cell.overrides for cell in cells][:2] == [
        ("model=lab/qwen", "reward=python", "seed=3", "experiment=study"),
        ("model=lab/qwen", "reward=random", "seed=3", "experiment=study"),
    ]
    assert {(c.cell.algo.rollouts, c.cell.estimator.kl, c.cell.clip.name) for c in cells} == {(5, 0.25, "off_epsilon")}
    lines = ["experiment=study", "model=lab/llama", "seed=0,1,2", "clip=on"]
    cells = compose_or_refuse(lines, multirun=True, config_dir=mine)
    assert [(c.cell.model.name, c.cell.seed, c.cell.choices["reward"]) for c in cells] == [
        ("lab/llama", seed, reward) for reward in ("python", "random") for seed in (0, 1, 2)
    ]


def test_an_experiments_grid_needs_m_unless_one_cell_is_left(mine: Path) -> None:
    [fault] = compose(["experiment=study"], multirun=False, config_dir=mine).faults
    assert fault == "experiment=study: spans 4 cells; add -m"
    [cell] = compose_or_refuse(["experiment=study", "model=lab/qwen", "reward=python"], multirun=False, config_dir=mine)
    assert cell.cell.seed == 3


def test_a_typo_in_an_experiments_grid_names_its_file(mine: Path) -> None:
    file = mine / "experiment" / "typo.yaml"
    file.write_text("# @package _global_\nhydra: {sweeper: {params: {sead: '0,1', model: 'lab/lama,lab/qwen'}}}\n")
    faults = compose(["experiment=typo"], multirun=True, config_dir=mine).faults
    assert [fault.split(": ")[0] for fault in faults] == [str(file)] * 2
    assert "did you mean seed" in faults[0]
    assert "did you mean lab/llama" in faults[1]


def test_experiments_side_by_side_keep_their_own_grids(mine: Path) -> None:
    (mine / "experiment" / "other.yaml").write_text("# @package _global_\nalgo: {rollouts: 9}\n")
    cells = compose_or_refuse(["experiment=study,other"], multirun=True, config_dir=mine)
    assert [(c.cell.choices["experiment"], c.cell.algo.rollouts) for c in cells] == [("study", 5)] * 4 + [("other", 9)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("reward/mine.yaml", "name: random\n gamma: [\n", "line 2: broken YAML"),
        ("reward/mine.yaml", "3\n", "reward=mine"),
        ("experiment/mine.yaml", "# @package _global_\ndefaults:\n  - override /algo: labb\n", "did you mean lab?"),
        ("experiment/mine.yaml", "defaults: algo\n", "defaults must be a list"),
        ("experiment/mine.yaml", "algo: {rollouts: 3}\n", "# @package _global_"),
        ("local/default.yaml", "seed: {a: [\n", "default.yaml, line 2: broken YAML"),
    ],
)
def test_a_broken_file_is_one_line(name: str, text: str, said: str, mine: Path) -> None:
    (mine / name).write_text(text)
    lines = [] if name.startswith("local") else [name.removesuffix(".yaml").replace("/", "=")]
    [fault] = compose([*lines, "seed=0,1", "model=lab/qwen,lab/llama"], multirun=True, config_dir=mine).faults
    assert said in fault
    assert len(fault.splitlines()) == 1
