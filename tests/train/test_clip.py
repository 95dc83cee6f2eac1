"""The clip ablations on a real run: the bound acts in the on-arm, and never in an off-arm."""

import json
from collections.abc import Callable

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose
from rlvr_sweep.train import worker

SIZE = ["algo.updates_per_rollout=4", "algo.rollouts=3", "algo.learning_rate=3e-3", "eval.every=0"]


def rows(directory: CellDir) -> list[dict]:
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


def test_the_bound_acts_where_it_is_on(make_cell: Callable[..., CellDir]) -> None:
    found = rows(make_cell(*SIZE))
    assert [r["step"] for r in found] == list(range(1, 13))
    assert found[0]["ratio/min"] == found[0]["ratio/max"] == 1.0  # the first update of a rollout is on-policy
    assert max(r["clip_ratio/region"] for r in found) > 0
    last = found[3]
    assert last["clip_ratio/low/last"] == last["clip_ratio/low"]
    mean = sum(r["clip_ratio/low"] for r in found[:4]) / 4
    assert last["clip_ratio/low/rollout_mean"] == pytest.approx(mean)


def test_old_log_probs_of_several_passes_are_each_rows_own(make_cell: Callable[..., CellDir]) -> None:
    """They are computed four micro-batches at once, those of the loss one by one."""
    found = rows(make_cell(*SIZE, "compute.micro_batch=1", "algo.rollouts=1"))
    assert found[0]["ratio/min"] == pytest.approx(1, abs=1e-4) == found[0]["ratio/max"]


@pytest.mark.parametrize(
    ("clip", "moves"),
    [
        ("off_epsilon", True),
        ("off_policy_gradient", True),
        ("off_logprob", True),
        ("off_large_batch", False),
        ("off_small_rollout", False),
    ],
)
def test_an_off_arm_never_clips(clip: str, moves: bool, make_cell: Callable[..., CellDir]) -> None:
    found = rows(make_cell(*SIZE, f"clip={clip}"))
    assert len(found) == 12  # matched on updates
    assert all(r["clip_ratio/region"] == 0 for r in found)
    outside = [r for r in found if r["ratio/max"] > 1.2 or r["ratio/min"] < 0.8]
    assert bool(outside) == moves, "with several updates the ratio leaves the bounds; with one it is 1"


def test_the_dual_clip_is_counted(make_cell: Callable[..., CellDir]) -> None:
    found = rows(make_cell(*SIZE, "reward=random", "clip.dual=1.3"))
    assert max(r["clip_ratio/dual"] for r in found) > 0
    assert all(r["clip_ratio/dual"] == 0 for r in found if r["ratio/max"] <= 1.3)


def test_an_on_arm_of_one_update_is_refused_with_the_legal_settings() -> None:
    [fault] = compose(["algo.updates_per_rollout=1"], multirun=False).faults
    assert fault.endswith("write 2, 4, 8, 16, 32, 64 or 128, or clip=off_large_batch")
