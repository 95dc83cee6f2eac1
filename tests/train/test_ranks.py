"""Two processes (gloo): whole groups on a rank, one record, and an exact resume after a signal that only rank 0 saw."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.protocol import DONE, STOPPED
from rlvr_sweep.sweep.process import command
from tests.conftest import TINY
from tests.train.rank_pair import run_pair


def start(directory: CellDir) -> subprocess.Popen:
    return subprocess.Popen(command(directory), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def digest(directory: CellDir) -> list[str]:
    files = [directory.path / "metrics.jsonl", *sorted(directory.path.glob("model/*.safetensors"))]
    files += sorted(directory.path.glob("evals/*/*"))
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]


DYNAMIC = ["estimator=dapo", "clip=dapo", "reward=random", "reward.gamma=0.2"]
Made = dict[str, tuple[CellDir, CellDir]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """By kind: a cell that ran straight to its end, and one that was stopped in its second rollout and went on."""
    folder = tmp_path_factory.mktemp("ranks")
    made: Made = {}
    for name, lines in {"plain": [], "dynamic": DYNAMIC}.items():
        own = [*TINY, "compute.ranks=2", "compute.device=cpu", *lines]
        made[name] = tuple(  # pyright: ignore[reportArgumentType]
            CellDir.create(compose_or_refuse([*own, f"runs={folder / name / way}"], multirun=False)[0])
            for way in ("straight", "stopped")
        )
    words = [f"{cell.path}{part}" for a, b in made.values() for cell, part in ((a, ""), (b, "@2"), (b, ""))]
    assert run_pair(folder, words) == [DONE, STOPPED, DONE] * 2
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "dynamic"])
def test_two_ranks_make_one_record_and_stop_together(kind: str, ran: Made) -> None:
    straight, stopped = ran[kind]
    rows = [json.loads(line) for line in (straight.path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(1, 9))
    assert any(r["grad_norm"] > 0 for r in rows)
    rollout = pq.read_table(straight.path / "rollouts" / "part-00001.parquet").to_pylist()
    batches = max(r["generation_batch"] for r in rollout)
    assert len(rollout) == 16 * batches  # 4 prompts x 4 completions, both ranks'
    assert len({r["row_id"] for r in rollout}) == 4 * batches
    assert sum(r["trained"] for r in rollout) == 16
    assert digest(stopped) == digest(straight)


REWARD = """
import math, os
def score(group):
    if os.environ["RANK"] == "1":
        raise KeyError("not here")
    return [math.nan, math.inf, *[float(c.tokens) for c in group.completions[2:]]]
"""


@pytest.mark.slow
def test_a_reward_that_fails_on_one_rank_hangs_nobody(
    make_cell: Callable[..., CellDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_for_tests.py").write_text(REWARD)
    monkeypatch.chdir(tmp_path)
    lines = ["compute.ranks=2", "compute.device=cpu", "algo.rollouts=2", "algo.temperature=2"]
    directory = make_cell(*lines, "reward=plugin", "reward.function=failing_for_tests:score")
    process = start(directory)
    assert process.wait(600) == 0, process.communicate()[1]
    rows = pq.read_table(directory.path / "rollouts" / "part-00001.parquet").to_pylist()
    assert [row["reward"] is None for row in rows] == [True, True, False, False] * 2 + [True] * 8
    assert all(row["advantage"] == 0 for row in rows if row["reward"] is None)
    infinite, raised = (
        f"failing_for_tests:score {what}" for what in ("returned NaN or infinity", "raised KeyError: 'not here'")
    )
    assert [row["unscorable"] for row in rows] == [infinite, infinite, None, None] * 2 + [raised] * 8
    first = json.loads((directory.path / "metrics.jsonl").read_text().splitlines()[0])
    assert first["unscorable_rate"] == 12 / 16
    assert first["grad_norm"] > 0
