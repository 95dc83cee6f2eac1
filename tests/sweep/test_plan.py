"""The verb `plan`: the grid at a glance, what is there already, what it costs; it starts nothing and writes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.sweep.arms import seeds
from rlvr_sweep.sweep.manifest import Manifest, row
from rlvr_sweep.sweep.plan import show

Capture = pytest.CaptureFixture[str]
GRID = ["model=lab/qwen_math,lab/llama", "reward=ground_truth,python", "seed=0,1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def plan(capsys: Capture, *argv: str) -> str:
    assert main(["plan", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(capsys: Capture, *argv: str) -> dict[str, Any]:
    return json.loads(plan(capsys, *argv, "--json"))


def made(*lines: str, **status: Any) -> CellDir:
    """The directory of a cell of the grid."""
    directory = CellDir.create(compose_or_refuse(list(lines), multirun=False)[0])
    if status:
        directory.status(**status)
    return directory


def files() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*")}


def test_a_grid_and_the_command_that_starts_it(capsys: Capture) -> None:
    out = plan(capsys, *GRID, "seed=range(0,3)")
    lines = [line.split() for line in out.splitlines()]
    assert out.splitlines()[0] == "12 cells in 4 arms: 12 new"
    assert ["lab/llama", "python", "0-2", "3"] in lines and ["all", "12"] in lines
    assert "time and disk: unknown (no finished cell with the same model, " in out
    assert out.splitlines()[-1] == (
        "start 12 cells: python -m rlvr_sweep -m model=lab/qwen_math,lab/llama reward=ground_truth,python seed=0,1 "
        "'seed=range(0,3)'"
    )


def test_rollouts_are_shown_as_optimizer_steps_too(capsys: Capture) -> None:
    one = "20 rollouts of 16 prompts x 8 completions, 4 updates each: 80 optimizer steps"
    assert one in plan(capsys, "seed=0,1").splitlines()
    out = plan(capsys, "clip=on,off_small_rollout", "clip.match=rollouts").splitlines()
    assert f"{one} (1 of 2 cells)" in out
    assert "20 rollouts of 4 prompts x 8 completions, 1 update each: 20 optimizer steps (1 of 2 cells)" in out


def test_an_experiment_says_what_it_is_and_costs(capsys: Capture) -> None:
    out = plan(capsys, "experiment=spurious_rewards/gamma").splitlines()
    assert "Figure 10: random reward with probability 0.7 to 0, Qwen2.5-Math-7B, 250 rollouts." in out[2]
    assert any("5 cells, about 800 A100-hours" in line for line in out)
    assert not any("# " in line for line in out)
    assert "Figure 10" not in plan(capsys, "experiment=spurious_rewards/gamma,spurious_rewards/python_reward")


def test_states_are_those_of_the_directories(capsys: Capture) -> None:
    done = made("model=lab/llama", "seed=0", state="running")
    (done.path / "DONE").write_text("{}")
    made("model=lab/llama", "seed=1", state="failed", failures=1, reason="boom")
    made("model=lab/llama", "seed=2", state="running", pid=1)
    made("model=lab/llama", "seed=3", state="preempted")
    held = made("model=lab/llama", "seed=4", state="running")
    grid = ["model=lab/llama", "seed=range(0,6)"]
    with held.lock():
        found, out = as_json(capsys, *grid), plan(capsys, *grid)
    states = {cell["seed"]: cell["state"] for cell in found["cells"]}
    assert states == {0: "done", 1: "failed", 2: "lost", 3: "preempted", 4: "running", 5: "new"}
    assert found["counts"] == {"running": 1, "failed": 1, "lost": 1, "preempted": 1, "new": 1, "done": 1}
    assert found["to_run"] == 3
    assert "start 3 cells: " in out
    assert f"1 failed before and are left alone; why: python -m rlvr_sweep status {found['name']}" in out
    with held.lock():
        assert as_json(capsys, *grid, "sweep.retry=true")["to_run"] == 4


def test_json_holds_what_a_script_needs(capsys: Capture) -> None:
    found = as_json(capsys, *GRID, "sweep.name=pilot")
    assert found["name"] == "pilot" and found["counts"] == {"new": 8} and found["cost"]["core_hours"] is None
    assert "no finished cell" in found["cost"]["unknown"]
    cells = found["cells"]
    assert len({cell["cell_id"] for cell in cells}) == 8 and len({cell["arm_id"] for cell in cells}) == 4
    composed = compose_or_refuse(cells[3]["overrides"], multirun=False)[0]  # its overrides make that very cell
    assert composed.cell_id == cells[3]["cell_id"] and composed.slug == cells[3]["slug"]


def test_the_name_is_the_one_its_launch_will_give_it(capsys: Capture) -> None:
    name = as_json(capsys, *GRID)["name"]
    rows = [row(cell) for cell in compose_or_refuse(GRID, multirun=True)]
    assert Manifest.record(rows, runs=Path("runs"), name=None, command=[]).name == name
    assert as_json(capsys, "seed=7")["name"] is None  # one cell alone is no sweep


def test_nothing_is_written(capsys: Capture) -> None:
    plan(capsys, *GRID)
    plan(capsys, *GRID, "--json")
    assert list(Path().iterdir()) == []
    made("seed=0", state="preempted")
    before = files()
    plan(capsys, *GRID)
    assert files() == before


def test_when_all_is_done_there_is_nothing_to_start(capsys: Capture) -> None:
    (made("seed=3").path / "DONE").write_text("{}")
    out = plan(capsys, "seed=3")
    assert out.splitlines()[0] == "1 cell: 1 done"
    assert out.splitlines()[-1] == "nothing to start" and "time" not in out


def test_one_cell_that_failed_is_started_again(capsys: Capture) -> None:
    made("seed=3", state="failed", failures=9)
    assert "start 1 cell: python -m rlvr_sweep seed=3" in plan(capsys, "seed=3")
    assert "nothing to start" in plan(capsys, "seed=3", "-m")


def test_a_stopped_cell_costs_only_what_is_left_of_it(capsys: Capture) -> None:
    finished = made("seed=0")
    (finished.path / "attempts" / "1").mkdir(parents=True)
    (finished.path / "attempts" / "1" / "env.json").write_text('{"devices": ["x86_64"], "cuda": null}')
    finished.status(state="done", attempt=1, started=0.0, finished=3600.0)
    (finished.path / "DONE").write_text("{}")
    made("seed=1", state="preempted", step=20, steps=80)
    found = as_json(capsys, "seed=0,1,2")
    assert found["cost"]["core_hours"] == pytest.approx(1.75)
    assert "time: about 1.8 core-hours for 2 cells\n" in plan(capsys, "seed=0,1,2")


def test_deviations_are_said_once_with_how_many_cells_have_them(capsys: Capture) -> None:
    folder = Path("own/algo").absolute()
    folder.mkdir(parents=True)
    lab = (conf_dir() / "algo" / "lab.yaml").read_text().replace("name: lab", "name: other\nrollouts: 9")
    (folder / "other.yaml").write_text(lab.replace("\nrollouts: 20", "") + "deviations: [warm-up left out, shorter]\n")
    own = ["--config-dir", str(folder.parent), "seed=0,1"]
    found, out = as_json(capsys, "algo=lab,other", *own), plan(capsys, "algo=lab,other", *own)
    assert found["deviations"] == {"warm-up left out": 2, "shorter": 2}
    assert out.count("deviates (2 of 4 cells): ") == 2
    assert "deviates (all cells): warm-up left out" in plan(capsys, "algo=other", *own)


def test_many_arms_are_summed_up_by_what_varies(capsys: Capture) -> None:
    rates = ",".join(f"1e-{n}" for n in range(2, 8))
    out = plan(
        capsys,
        "model=lab/qwen_math,lab/llama",
        "reward=python,format,random,ground_truth",
        f"algo.learning_rate={rates}",
        "seed=range(0,20)",
    )
    lines = [line.split() for line in out.splitlines()]
    assert out.splitlines()[0] == "960 cells in 48 arms: 960 new"
    assert ["lab/llama", "480", "480"] in lines and ["reward", "python", "240", "240"] in lines
    assert len(out.splitlines()) < 50


def test_a_thousand_cells_fit_a_screen(capsys: Capture) -> None:
    out = plan(capsys, *GRID, "reward=ground_truth,random,format,python", "seed=range(0,125)")
    assert "1,000 cells in 8 arms: 1,000 new" in out and "0-124" in out
    assert len(out.splitlines()) < 24


def test_all_faults_come_in_one_list(capsys: Capture) -> None:
    assert main(["plan", "model=lab/lama", "sead=1", "nonsense", "algo.rollouts=x"]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and all(line.startswith("rlvr_sweep: ") for line in lines)
    for fault in ("lab/lama", "sead=1", "nonsense", "algo.rollouts"):
        assert sum(fault in line for line in lines) == 1, fault
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["seed=range(0,1001)"], "write sweep.max_cells=1001"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
    ],
)
def test_a_mistake_is_one_line(argv: list[str], said: str, capsys: Capture) -> None:
    assert main(["plan", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1


def test_an_experiment_spans_its_grid(capsys: Capture) -> None:
    folder = Path("own/experiment").absolute()
    folder.mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      reward: python,format\n      seed: range(0,3)\n"
    (folder / "pilot.yaml").write_text(text)
    found = as_json(capsys, "experiment=pilot", "--config-dir", str(folder.parent))
    assert len(found["cells"]) == 6 and len({cell["arm_id"] for cell in found["cells"]}) == 2
    assert found["command"] == f"python -m rlvr_sweep -m --config-dir {folder.parent} experiment=pilot"


def test_a_directory_of_another_version_is_named_and_the_rest_is_shown(capsys: Capture) -> None:
    other, broken = made("seed=0"), made("seed=1")
    (other.path / "cell.json").write_text('{"format": 99}')
    (broken.path / "cell.json").write_text("{")
    (broken.path / "status.json").write_text("{")
    out = plan(capsys, "seed=0,1,2").replace("\n", " ")
    assert f"{other.path}: written in directory format 99" in out
    assert f"{broken.path}/cell.json: broken JSON" in out
    assert "2 pending, 1 new" in out


def test_the_launcher_shows_the_same_without_itself(capsys: Capture) -> None:
    cells = compose_or_refuse(["seed=0,1"], multirun=True)
    console = Console(width=100)
    assert show(cells, command=["-m", "seed=0,1", "hydra/launcher=plan"], multirun=True, console=console) == 0
    assert capsys.readouterr().out == plan(capsys, "-m", "seed=0,1")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([0], "0"),
        ([1, 0], "0,1"),
        ([4, 1, 0, 2, 9, 2], "0-2,4,9"),
        (range(0, 40, 4), "0 to 36 (10 of them)"),
    ],
)
def test_seeds_are_short(numbers: list[int], text: str) -> None:
    assert seeds(numbers) == text
