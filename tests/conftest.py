"""What all tests share: one thread, no network, and the smallest cells that are still real."""

import os

os.environ.update(
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    WANDB_MODE="offline",
)

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rlvr_sweep import devices
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config import layers
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.sweep import gpus

ROOT = Path(__file__).resolve().parents[1]
H200 = 143_771 << 20  # bytes of one

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


@pytest.fixture(autouse=True, scope="session")
def known_layers() -> Iterator[dict[tuple[str, ...], layers.Layer]]:
    """Hydra takes 0.2 s for a combination of choices, and the shipped files stay as they are while tests run: what the
    cells of one command share (layers.Files), those of all tests in a process do."""
    shipped, compose = [conf_dir()], layers.Files.compose
    known: dict[tuple[str, ...], layers.Layer] = {}

    def once(self: layers.Files, lines: Sequence[str]) -> layers.Layer:
        if self._roots != shipped:
            return compose(self, lines)
        if (key := tuple(lines)) not in known:
            known[key] = compose(self, lines)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.Files, "compose", once)
        yield known


@pytest.fixture
def make_cell(tmp_path: Path) -> Callable[..., CellDir]:
    """make_cell("reward=python", runs="a") -> the directory of a tiny lab cell, in a runs folder of its own."""

    def make(*overrides: str, runs: str = "runs") -> CellDir:
        lines = [*TINY, *overrides, f"runs={tmp_path / runs}"]
        return CellDir.create(compose_or_refuse(lines, multirun=False)[0])

    return make


@pytest.fixture
def with_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """with_gpus(2) makes the driver list two H200s, free but for `used` bytes."""

    def make(count: int, *, used: int = 0) -> None:
        found = [devices.Gpu(str(i), f"GPU-{i}", "NVIDIA H200", H200, used) for i in range(count)]
        monkeypatch.setattr(devices, "gpus", lambda: found)
        monkeypatch.setattr(devices, "processes", list)
        for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
            monkeypatch.delenv(name, raising=False)
        gpus.at_first.cache_clear()

    yield make
    gpus.at_first.cache_clear()
