"""What all tests share: one thread, no network, and the smallest cells that are still real."""

import os

os.environ.update(
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    WANDB_MODE="offline",
)

from collections.abc import Callable
from pathlib import Path

import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse

ROOT = Path(__file__).resolve().parents[1]

TINY = [  # a lab cell of two seconds: 4 rollouts of 4 x 4, 2 updates each, a small evaluation in the middle
    "tracking=off",
    "compute.checkpoint_every=1",
    "algo.rollouts=4",
    "algo.prompts_per_rollout=4",
    "algo.completions_per_prompt=4",
    "algo.updates_per_rollout=2",
    "algo.max_completion_tokens=48",
    "algo.learning_rate=1e-3",
    "data.count=16",
    "eval.every=2",
    "eval.benchmarks.add.count=4",
    "eval.benchmarks.add.samples=2",
    "eval.benchmarks.add.ks=[1,2]",
]


@pytest.fixture
def make_cell(tmp_path: Path) -> Callable[..., CellDir]:
    """make_cell("reward=python", runs="a") -> the directory of a tiny lab cell, in a runs folder of its own."""

    def make(*overrides: str, runs: str = "runs") -> CellDir:
        lines = [*TINY, *overrides, f"runs={tmp_path / runs}"]
        return CellDir.create(compose_or_refuse(lines, multirun=False)[0])

    return make
