"""What can be said of SLURM without one: the script, the request, and how its absence is told."""

import json
from pathlib import Path

import pytest

from rlvr_sweep import source
from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.manifest import planning
from rlvr_sweep.sweep.nodes import check
from rlvr_sweep.sweep.queue import completed
from rlvr_sweep.sweep.slurm import render, request
from rlvr_sweep.sweep.snapshot import snapshot
from rlvr_sweep.sweep.state import states
from tests.conftest import TINY
from tests.trials import random_model


def script(runs: Path, *lines: str) -> list[str]:
    cells = [CellDir.create(c) for c in compose_or_refuse([*TINY, f"runs={runs}", *lines], multirun=True)]
    submission = runs / "a folder" / "1"
    return render(request(cells), tasks=len(cells), name="pilot", submission=submission, code=runs).splitlines()


def test_what_the_cluster_choice_says_is_asked_for(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        "seed=0,1",
        "compute=gpu",
        "compute.ranks=4",
        "compute.nodes=2",
        "compute.micro_batch=2",
        "cluster.partition=gpu",
        "cluster.account=lab",
        "cluster.time='2-00:00:00'",
        "cluster.memory=64G",
        "cluster.gpu_type=h200",
        "cluster.throttle=4",
        "cluster.modules=[cuda/12.8]",
        "cluster.setup=['ulimit -c 0']",
        "cluster.extra=['--mail-type=END']",
        "cluster.container='apptainer exec --nv image.sif'",
    )
    for wanted in (
        "#SBATCH --array=0-1%4",
        "#SBATCH --nodes=2",
        "#SBATCH --gres=gpu:h200:2",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --time=2-00:00:00",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "#SBATCH --mem=64G",
        "#SBATCH --mail-type=END",
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --requeue",
        "module load cuda/12.8",
        "ulimit -c 0",
    ):
        assert wanted in lines
    assert not any("--qos" in line or "--constraint" in line for line in lines)
    assert lines[-1].startswith("exec apptainer exec --nv image.sif ")
    assert f"'{tmp_path}/a folder/1'" in lines[-1]  # quoted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("seed=0", 120 + 213),
        ("cluster.pack=2", 120 + 2 * 213),
        ("cluster.signal_s=60", 60),
        ("cluster.time='00:10:00'", 150),
        ("cluster.time='00:00:00'", 120 + 213),  # no limit
    ],
)
def test_a_large_checkpoint_has_time_to_be_written(tmp_path: Path, line: str, wanted: int) -> None:
    large = ["model=shape/qwen2_5_7b", "compute=zero2_x4", "algo.prompts_per_rollout=16"]  # 107 GB
    assert f"#SBATCH --signal=B:USR1@{wanted}" in script(tmp_path, *large, "seed=0,1", line)


def test_who_would_be_told_before_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not less than cluster\.time=00:05:00; write a longer time"):
        script(tmp_path, "seed=0", "cluster.time='00:05:00'", "cluster.signal_s=300")


def test_cells_on_cores_ask_for_no_gpu(tmp_path: Path) -> None:
    lines = script(tmp_path, "seed=0,1", "compute=cpu", "cluster.pack=3", "cluster.requeue=false")
    assert "#SBATCH --cpus-per-task=2" in lines
    assert "#SBATCH --no-requeue" in lines
    assert not any("gres" in line for line in lines)


def test_a_cell_that_may_want_a_gpu_must_say_so(tmp_path: Path) -> None:
    folder = random_model.make(tmp_path / "model", ["What is 1 + 1?"] * 50)
    with pytest.raises(UserError, match=r"does not say what to ask SLURM for; write compute=gpu"):
        script(tmp_path, "seed=0", "model=path", f"model.path={folder}")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["compute.nodes=2"], "write compute.ranks=2"),
        (["compute.ranks=2", "compute.share=0.5"], "only a cell of one rank shares a GPU"),
        (["compute.share=0.001"], "compute.share"),
    ],
)
def test_what_cannot_be_asked_for_is_said(lines: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        compose_or_refuse([*TINY, f"runs={tmp_path}", *lines], multirun=False)


def test_no_slurm_is_one_line_before_anything_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["-m", *TINY, "seed=0,1", f"runs={tmp_path / 'runs'}", "hydra/launcher=slurm"]) == 2
    assert "hydra/launcher=slurm: no scontrol on this machine; start it on a login node" in capfd.readouterr().err


def test_without_squeue_nothing_is_claimed_about_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [cell] = compose_or_refuse([*TINY, f"runs={tmp_path}"], multirun=False)
    CellDir.create(cell).status(state="pending", job="5_0")
    monkeypatch.setenv("PATH", str(tmp_path))
    [state] = completed(states([cell.cell_id], tmp_path))
    assert (state.state, state.reason) == ("pending", "SLURM's view is not known: no squeue on this machine")


@pytest.mark.parametrize("limit", ["60", "1:00", "soon", "3600"])
def test_a_time_limit_has_one_way_to_be_written(limit: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="write \\[days-\\]hours:minutes:seconds"):
        compose_or_refuse([f"cluster.time='{limit}'", f"runs={tmp_path}"], multirun=False)


def test_several_nodes_need_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="runs under SLURM; write hydra/launcher=slurm"):
        check(2)
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    check(2)
    with pytest.raises(UserError, match="this job has 2 nodes"):
        check(3)


def test_a_snapshot_is_the_code_as_it_is_and_kept_once(tmp_path: Path) -> None:
    first = snapshot(tmp_path)
    assert (first / "rlvr_sweep" / "sweep" / "task.py").is_file()
    assert not list(first.rglob("__pycache__"))
    assert snapshot(tmp_path) == first
    assert json.loads((first / "code.json").read_text())["commit"] == source.commit()


def test_a_runs_folder_that_cannot_be_written_is_one_line() -> None:
    with (
        pytest.raises(UserError, match=r"/proc/runs: cannot be written .*; write runs=DIR"),
        planning(Path("/proc/runs")),
    ):
        pass
