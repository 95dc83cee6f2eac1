"""Two processes (gloo): whole groups on a rank, one record, and an exact resume after a signal that only rank 0 saw."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.sweep.process import command

STOPPED = 75


def start(directory: CellDir) -> subprocess.Popen:
    return subprocess.Popen(command(directory), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def digest(directory: CellDir) -> list[str]:
    files = [directory.path / "metrics.jsonl", *sorted(directory.path.glob("model/*.safetensors"))]
    files += sorted(directory.path.glob("evals/*/*"))
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param([], id="plain"),
        pytest.param(["estimator=dapo", "clip=dapo", "reward=random", "reward.gamma=0.2"], id="dynamic-sampling"),
    ],
)
def test_two_ranks_make_one_record_and_stop_together(overrides: list[str], make_cell: Callable[..., CellDir]) -> None:
    lines = ["compute.ranks=2", "compute.device=cpu", "algo.rollouts=8", *overrides]
    straight, stopped = make_cell(*lines, runs="straight"), make_cell(*lines, runs="stopped")
    process = start(straight)
    assert process.wait(300) == 0, process.communicate()[1]
    rows = [json.loads(line) for line in (straight.path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(1, 17))
    assert any(r["grad_norm"] > 0 for r in rows)
    rollout = pq.read_table(straight.path / "rollouts" / "part-00001.parquet").to_pylist()
    batches = max(r["generation_batch"] for r in rollout)
    assert len(rollout) == 16 * batches  # 4 prompts x 4 completions, both ranks'
    assert len({r["row_id"] for r in rollout}) == 4 * batches
    assert sum(r["trained"] for r in rollout) == 16

    process = start(stopped)
    end = time.monotonic() + 200
    while not (stopped.path / "metrics.jsonl").is_file():
        assert time.monotonic() < end and process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.kill(stopped.read_status()["pid"], signal.SIGUSR1)  # rank 0 writes the status
    process.wait(300)
    assert stopped.read_status()["state"] == "preempted"
    process = start(stopped)
    assert process.wait(300) == 0, process.communicate()[1]
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
    assert process.wait(200) == 0, process.communicate()[1]
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
