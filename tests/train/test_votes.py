"""TTRL: more completions vote than are trained on (arXiv 2504.16084: 64 votes, the first 32 trained)."""

import json
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import pytest

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose
from rlvr_sweep.train import worker

VOTES = ["reward=majority_online", "algo.votes_per_prompt=7", "algo.temperature=2", "algo.rollouts=1"]


def test_all_vote_and_the_first_are_trained_on(make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell(*VOTES, "compute.checkpoint_every=0")
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    rows = pq.read_table(directory.path / "rollouts" / "part-00001.parquet").to_pylist()
    assert len(rows) == 4 * 7
    assert all(row["trained"] == (row["slot"] < 4) for row in rows)
    assert all((row["advantage"] is None) == (row["slot"] >= 4) for row in rows)
    groups = [[row for row in rows if row["row_id"] == row_id] for row_id in {row["row_id"] for row in rows}]
    for group in groups:
        winners = [row for row in group if row["reward"] == 1]
        assert len(winners) / 7 == (group[0]["majority_ratio"] if winners else 0)  # of all that voted
        first = np.array([row["reward"] for row in group[:4]])  # the group that advantages are made of
        wanted = (first - first.mean()) / (first.std(ddof=1) + 1e-4)
        assert [row["advantage"] for row in group[:4]] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert any(row["reward"] == 1 and row["slot"] >= 4 for row in rows), "nothing distinguishes votes from training"
    metrics = json.loads((directory.path / "metrics.jsonl").read_text().splitlines()[0])
    flat = [len({row["reward"] for row in group[:4]}) == 1 for group in groups]
    assert metrics["frac_reward_zero_std"] == sum(flat) / 4
    assert metrics["tokens"] == sum(row["tokens"] for row in rows)


def test_a_vote_over_no_answers_rewards_nobody_and_says_what_to_write(
    make_cell: Callable[..., CellDir], capfd: pytest.CaptureFixture[str]
) -> None:
    directory = make_cell("reward=majority_online", "algo.max_completion_tokens=2", "algo.rollouts=2")
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    metrics = [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]
    assert all((row["reward"], row["majority_ratio"], row["majority_accuracy"]) == (0, None, None) for row in metrics)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("rlvr_sweep: ")]
    assert len(said) == 1  # not at every rollout
    assert "rollout 1: none of 16 completions holds an answer (algo.extraction=boxed)" in said[0]
    assert "write another algo.extraction or model.template, or a larger algo.max_completion_tokens" in said[0]


@pytest.mark.parametrize("votes", [3, 8])
def test_fewer_votes_than_are_trained_on_are_refused(votes: int) -> None:
    [fault] = compose([*VOTES, f"algo.votes_per_prompt={votes}"], multirun=False).faults
    assert fault.startswith("algo.votes_per_prompt:")
    assert "write 16" in fault
