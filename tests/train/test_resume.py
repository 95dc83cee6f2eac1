"""A cell stopped or killed anywhere and started again ends with the same bytes as one left alone (on a CPU)."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.protocol import DEADLINE
from rlvr_sweep.shapes.memory import checkpoint_bytes
from rlvr_sweep.train import checkpoints, worker
from rlvr_sweep.train.recorder import Recorder
from tests.conftest import TINY


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the worker's own handling may run after it."""


DYNAMIC = ["estimator=dapo", "clip=dapo", "reward=random", "reward.gamma=0.2"]


def run(directory: CellDir) -> bool:
    return worker.train(directory, say=directory.status, is_main=True, began=0.0)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CellDir]:
    """straight("reward=random") -> a cell that ran to its end undisturbed; made once, and only read."""

    @cache
    def make(*overrides: str) -> CellDir:
        lines = [*TINY, *overrides, f"runs={tmp_path_factory.mktemp('straight')}"]
        directory = CellDir.create(compose_or_refuse(lines, multirun=False)[0])
        assert run(directory)
        return directory

    return make


def record(directory: CellDir) -> dict[str, str]:
    """The hashes of everything a cell leaves that its identity promises; times are not among them."""
    patterns = (
        "metrics.jsonl",
        "model/model.safetensors",
        "adapter/adapter_model.safetensors",
        "rollouts/*",
        "evals/*/*",
    )
    files = [p for pattern in patterns for p in sorted(directory.path.glob(pattern))]
    assert any(p.suffix == ".safetensors" for p in files)
    gradients = [row["grad_norm"] for row in metrics(directory)]
    assert len(gradients) == 8
    assert any(g > 0 for g in gradients), "nothing was learnt, so nothing could differ"
    return {str(p.relative_to(directory.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def metrics(directory: CellDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], Any]) -> None:
    """Do `act` when the record of optimizer step `step` is written."""
    original = Recorder.step

    def record_step(self: Recorder, metrics: dict[str, Any], timings: dict[str, Any]) -> None:
        original(self, metrics, timings)
        if metrics["step"] == step:
            monkeypatch.undo()
            act()

    monkeypatch.setattr(Recorder, "step", record_step)


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("lines", [[], ["model.lora={rank: 16}"]], ids=["whole", "lora"])
def test_a_checkpoint_is_as_large_as_plan_says(
    lines: list[str], make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 3, kill)
    directory = make_cell(*lines)
    with pytest.raises(Killed):
        run(directory)
    [checkpoint] = (directory.path / "checkpoints").glob("checkpoint-*")
    sizes = [p.stat().st_size for p in checkpoint.iterdir() if p.suffix in (".pt", ".pth", ".safetensors")]
    assert sum(sizes) == pytest.approx(checkpoint_bytes(directory.cell), rel=0.1)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param([], id="plain"),
        pytest.param(["data.count=6"], id="epochs-that-end-inside-a-rollout"),
        pytest.param(["model.lora={rank: 4}"], id="lora"),
        pytest.param(["compute.micro_batch=2", "clip=off_large_batch"], id="accumulated"),
        pytest.param(["reward=random", "estimator.kl=0.1"], id="random-reward-and-kl"),
        pytest.param(DYNAMIC, id="dynamic-sampling"),
        pytest.param(["reward=majority_online", "algo.votes_per_prompt=6", "algo.temperature=2"], id="votes"),
        pytest.param(["estimator=entropy_min", "estimator.whiten=true", "estimator.entropy_bonus=0.1"], id="entropy"),
    ],
)
def test_a_stopped_cell_goes_on_in_the_middle_of_a_rollout(
    overrides: list[str],
    make_cell: Callable[..., CellDir],
    monkeypatch: pytest.MonkeyPatch,
    straight: Callable[..., CellDir],
) -> None:
    stopped = make_cell(*overrides)
    at_step(
        monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGUSR1)
    )  # seen at the end of step 3 of 8, the first of its rollout
    assert not run(stopped)
    assert [p.name for p in (stopped.path / "checkpoints").iterdir()] == ["checkpoint-3"]
    assert run(stopped)
    assert record(stopped) == record(straight(*overrides))


@pytest.mark.parametrize(
    ("ends", "before", "after", "more"),
    [
        ("stopped", 4, 2, []),
        ("stopped", 2, 4, []),
        ("killed", 4, 2, []),
        ("stopped", 2, 4, ["estimator.loss=micro_batch", "estimator.loss_batch=2"]),
    ],
)
def test_what_goes_on_with_other_micro_batches_makes_the_same_updates(
    ends: str,
    before: int,
    after: int,
    more: list[str],
    make_cell: Callable[..., CellDir],
    monkeypatch: pytest.MonkeyPatch,
    straight: Callable[..., CellDir],
) -> None:
    """After the GPU's memory was used up, say: in the middle of a rollout, or between two."""
    more = ["estimator.kl=0.1", *more]
    undisturbed = straight(*more, "compute.micro_batch=4")
    other = make_cell(*more, f"compute.micro_batch={before}")
    if ends == "stopped":
        at_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        assert not run(other)
    else:
        at_step(monkeypatch, 3, kill)
        with pytest.raises(Killed):
            run(other)
    lines = [*TINY, *more, f"compute.micro_batch={after}", f"runs={other.path.parent}"]
    other.update(compose_or_refuse(lines, multirun=False)[0])
    assert other.cell.compute.micro_batch == after and run(other)
    rows = [pq.read_table(each.path / "rollouts").select(["text"]) for each in (undisturbed, other)]
    assert rows[0] == rows[1]
    mine, theirs = metrics(undisturbed), metrics(other)
    for key in ("grad_norm", "loss", "ratio/max"):
        assert [row[key] for row in theirs] == pytest.approx([row[key] for row in mine], rel=1e-3, abs=1e-6)


def test_time_is_left_for_an_evaluation_as_long_as_that_of_another_attempt(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell("eval.before=false")
    cell.status(state="preempted", evaluated_in=10_000.0)
    monkeypatch.setenv(DEADLINE, str(time.time() + 5000))
    assert not run(cell)
    assert [p.name for p in (cell.path / "checkpoints").iterdir()] == ["checkpoint-4"], "before the first one due"
    assert not list(cell.path.glob("evals/*/*"))
    assert run(cell), "what was owed took less"
    assert cell.read_status()["evaluated_in"] < 100


def test_time_is_left_for_a_checkpoint_as_long_as_the_last(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    cell.status(state="preempted", saved_in=10_000.0)
    monkeypatch.setenv(DEADLINE, str(time.time() + 5000))
    assert not run(cell)
    assert [p.name for p in (cell.path / "checkpoints").iterdir()] == ["checkpoint-1"]
    assert run(cell), "this one took less"


@pytest.mark.parametrize(("before", "after", "written"), [(0, 2, ["checkpoint-4"]), (1, 0, ["checkpoint-3"])])
def test_checkpoints_come_as_often_as_the_attempt_wants_them(
    before: int,
    after: int,
    written: list[str],
    make_cell: Callable[..., CellDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = make_cell(f"compute.checkpoint_every={before}")
    at_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert not run(cell)
    lines = [*TINY, f"compute.checkpoint_every={after}", f"runs={cell.path.parent}"]
    cell.update(compose_or_refuse(lines, multirun=False)[0])
    at_step(monkeypatch, 7, kill)
    with pytest.raises(Killed):
        run(cell)
    assert [p.name for p in (cell.path / "checkpoints").iterdir()] == written


@pytest.mark.parametrize(("step", "overrides"), [(1, []), (4, []), (7, []), (5, DYNAMIC)])
def test_a_killed_cell_starts_from_its_newest_checkpoint(
    step: int,
    overrides: list[str],
    make_cell: Callable[..., CellDir],
    monkeypatch: pytest.MonkeyPatch,
    straight: Callable[..., CellDir],
) -> None:
    killed = make_cell(*overrides)
    at_step(monkeypatch, step, kill)
    with pytest.raises(Killed):
        run(killed)
    assert run(killed)
    assert record(killed) == record(straight(*overrides))


def test_an_incomplete_checkpoint_is_ignored(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch, straight: Callable[..., CellDir]
) -> None:
    broken = make_cell()
    at_step(monkeypatch, 5, kill)
    with pytest.raises(Killed):
        run(broken)
    [checkpoint] = (broken.path / "checkpoints").glob("checkpoint-*")
    (checkpoint / "COMPLETE").unlink()
    at_step(monkeypatch, 1, kill)
    with pytest.raises(Killed):  # from the start
        run(broken)
    assert not checkpoint.exists()
    assert run(broken)
    assert record(broken) == record(straight())


def test_what_a_kill_leaves_of_an_older_checkpoint_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model").write_text("weights")
    checkpoints.complete(tmp_path / "checkpoint-1", ranks=1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", lambda folder: (folder / "model").unlink() or kill())
        with pytest.raises(Killed):
            checkpoints.complete(tmp_path / "checkpoint-2", ranks=1)
    checkpoints.discard_incomplete(tmp_path)
    assert checkpoints.set_damaged_aside(tmp_path) == []
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-2"]


def flip(file: Path) -> None:
    """One bit in the middle, as a failing disk might."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("model.safetensors", flip, "model.safetensors has changed since it was written"),
        ("optimizer.pt", lambda file: os.truncate(file, 1000), "optimizer.pt has 1000 of "),
        ("COMPLETE", lambda file: file.write_text("{"), "COMPLETE cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_set_aside(
    name: str,
    damage: Callable[[Path], None],
    said: str,
    make_cell: Callable[..., CellDir],
    monkeypatch: pytest.MonkeyPatch,
    straight: Callable[..., CellDir],
    capfd: pytest.CaptureFixture[str],
) -> None:
    killed = make_cell()
    at_step(monkeypatch, 5, kill)
    with pytest.raises(Killed):
        run(killed)
    checkpoint = killed.path / "checkpoints" / "checkpoint-4"
    damage(checkpoint / name)
    assert run(killed)  # from the start: it was the only one
    err = capfd.readouterr().err
    assert f"damaged ({said}" in err
    assert "set aside as damaged-checkpoint-4" in err
    assert record(killed) == record(straight())


def test_a_damaged_record_is_one_line(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = make_cell()
    at_step(monkeypatch, 5, kill)
    with pytest.raises(Killed):
        run(killed)
    part = killed.path / "rollouts" / "part-00001.parquet"
    os.truncate(part, 100)
    metrics = killed.path / "metrics.jsonl"
    sound = metrics.read_text()
    metrics.write_text(sound.replace('"step": 2', '"st: 2'))
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2: damaged"):
        run(killed)
    metrics.write_text("".join(sound.splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match=r"metrics.jsonl: has 3 of the 4 steps before its checkpoint"):
        run(killed)
    metrics.write_text(sound)
    assert run(killed)
    assert "part-00001.parquet: damaged; set aside as damaged-part-00001.parquet" in capfd.readouterr().out
    assert (part.parent / "damaged-part-00001.parquet").is_file()


def test_a_kill_before_done_does_not_train_again(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_cell()
    monkeypatch.setattr(worker, "_mark_done", lambda directory: kill())
    with pytest.raises(Killed):
        run(directory)
    before = record(directory)
    monkeypatch.undo()
    monkeypatch.setattr(Recorder, "rollout", lambda *args: pytest.fail("it samples again"))
    assert run(directory)
    assert (directory.path / "DONE").is_file()
    assert record(directory) == before
    assert not (directory.path / "checkpoints").exists()


def test_an_evaluation_that_a_stop_put_off_is_made_up_for(
    make_cell: Callable[..., CellDir], monkeypatch: pytest.MonkeyPatch, straight: Callable[..., CellDir]
) -> None:
    stopped = make_cell()
    for step in (3, 7):  # seen at the end of step 4, where an evaluation is due, and of step 8, the last
        at_step(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert not run(stopped)
        assert not (stopped.path / "evals" / "add" / f"step-{step + 1:06d}.parquet").exists()
    assert run(stopped)
    assert record(stopped) == record(straight())
