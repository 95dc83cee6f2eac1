"""Dynamic sampling: the reference's rule, on its own and in real runs, and that all ranks follow the same one."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.data.order import order
from rlvr_sweep.data.sources import load
from rlvr_sweep.draws import uniform
from rlvr_sweep.train import worker
from rlvr_sweep.train.dynamic_sampling import choose, has_spread, sample
from tests.train.test_estimators import Case, clipped, create, error, normed, run, weights

DAPO = ["estimator=dapo", "clip=dapo", "reward=random"]


def test_a_group_has_spread_where_two_known_rewards_differ() -> None:
    assert has_spread([0.0, None, 1.0])
    assert not has_spread([1.0, 1.0, None])
    assert not has_spread([None, None])


@pytest.mark.parametrize(
    ("spread", "chosen"),
    [
        ([1, 0, 1, 1, 1, 1], [0, 2, 3]),  # enough: the first ones
        ([0, 0, 1, 0, 1, 0], [2, 4, 2]),  # too few: repeated from the first on
        ([0, 0, 0, 0, 0, 0], [3, 4, 5]),  # none: the last generation batch as it is
    ],
)
def test_the_rule(spread: list[int], chosen: list[int]) -> None:
    assert choose([bool(s) for s in spread], wanted=3) == chosen


@pytest.mark.parametrize(
    ("batches", "asked"),
    [(["11"], 1), (["10", "10"], 2), (["10", "01", "11"], 2), (["00", "00", "11"], 2)],
)
def test_no_more_is_generated_than_needed_or_allowed(batches: list[str], asked: int) -> None:
    left = iter(batches)
    groups, chosen = sample(lambda: list(next(left)), spread=lambda group: group == "1", wanted=2, most=2)
    assert len(groups) == 2 * asked
    assert len(chosen) == 2


def rows(directory: CellDir) -> list[list[dict[str, Any]]]:
    """The completions of each rollout."""
    return [pq.read_table(part).to_pylist() for part in sorted(directory.path.glob("rollouts/part-*.parquet"))]


def metrics(directory: CellDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


def expected(directory: CellDir) -> list[tuple[int, list[str]]]:
    """Of each rollout, how many batches it takes and which visits it trains on: from the cell alone, as rewards are
    hashes."""
    cell, gamma = directory.cell, directory.cell.reward.model_dump()["gamma"]
    size, prompts = cell.algo.completions_per_prompt, cell.algo.prompts_per_rollout
    ids = [row.id for row in load(cell.data, key="data").rows]
    visits = [v for _, v in order(ids, rollouts=2 * cell.algo.rollouts, prompts=prompts, seed=cell.seed, repeat=False)]
    found = []
    for rollout in range(1, cell.algo.rollouts + 1):
        kept: list[str] = []
        asked: list[str] = []
        batches = 0
        while batches < 2 and len(kept) < prompts:
            batches += 1
            asked, visits = visits[:prompts], visits[prompts:]
            for visit in asked:
                wins = [uniform(cell.seed, "reward", visit, rollout, s) < gamma for s in range(size)]
                kept += [visit] * (0 < sum(wins) < size)
        found.append((batches, [(kept or asked)[i % len(kept or asked)] for i in range(prompts)]))
    return found


@pytest.mark.parametrize(("gamma", "kinds"), [(0.2, {"full", "repeated"}), (0.05, {"repeated", "unfiltered"})])
def test_a_run_follows_it(gamma: float, kinds: set[str], make_cell: Callable[..., CellDir]) -> None:
    directory = make_cell(*DAPO, f"reward.gamma={gamma}", "algo.rollouts=6", "compute.checkpoint_every=0")
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    wanted, seen = expected(directory), set()
    every = metrics(directory)
    for (batches, visits), found, metric in zip(wanted, rows(directory), every[::2], strict=True):
        trained = Counter({row["row_id"]: row["trained"] for row in found})
        assert trained == Counter(visits)
        assert max(row["generation_batch"] for row in found) == batches == metric["groups/generation_batches"]
        assert len(found) == 16 * batches
        assert all((row["advantage"] is None) == (row["trained"] == 0) for row in found)
        rewards = {visit: {row["reward"] for row in found if row["row_id"] == visit} for visit in trained}
        spread = {visit for visit, earned in rewards.items() if len(earned) > 1}
        assert metric["frac_reward_zero_std"] == 1 - len(spread) / (4 * batches)
        assert metric["reward"] == pytest.approx(sum(row["reward"] for row in found) / len(found))
        assert (metric["grad_norm"] > 0) == bool(spread)
        seen.add("unfiltered" if not spread else "repeated" if max(trained.values()) > 1 else "full")
    assert seen >= kinds


def test_completions_that_only_vote_give_a_group_no_spread(make_cell: Callable[..., CellDir]) -> None:
    lines = ["reward=majority_online", "algo.votes_per_prompt=8", "algo.temperature=2", "algo.rollouts=3"]
    directory = make_cell(*DAPO[:2], *lines, "compute.checkpoint_every=0")
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    only_votes = 0
    for found in rows(directory):
        groups = [found[start : start + 8] for start in range(0, len(found), 8)]
        known = [[row["reward"] for row in group] for group in groups]
        chosen = Counter(choose([has_spread(rewards[:4]) for rewards in known], wanted=4))
        assert [group[0]["trained"] for group in groups] == [chosen[position] for position in range(len(groups))]
        only_votes += sum(has_spread(rewards) and not has_spread(rewards[:4]) for rewards in known)
    assert only_votes, "nothing distinguishes votes from training"


@pytest.mark.slow
def test_two_ranks_choose_alike_and_repeated_groups_are_one_group(tmp_path: Path) -> None:
    """Repeated before advantages are made: a group that is there twice has twice the completions (its std differs)."""
    lines = [*DAPO, "reward.gamma=0.1", "seed=1"]
    case = Case([], advantage=lambda r: normed(r, 1e-6), token_loss=clipped(0.2, 0.28, 10.0))
    trained = []
    for ranks in (1, 2):
        directory = create(lines, tmp_path / str(ranks), ranks)
        run([directory], ranks)
        kept = [torch.load(directory.path / f"probe-{rank}.pt", weights_only=False) for rank in range(ranks)]
        model = weights(directory)
        assert max(error(case, kept, number, model) for number in range(2)) < 1e-5
        [found] = rows(directory)
        trained.append([(row["row_id"], row["slot"], row["trained"], row["advantage"]) for row in found])
        assert max(row["trained"] for row in found) == 2
    assert trained[0] == trained[1]
