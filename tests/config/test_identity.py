"""A cell is its content: what is in its id, what is not, and that today's ids stay."""

from pathlib import Path

import pytest

from rlvr_sweep.config.compose import Composed, compose_or_refuse
from rlvr_sweep.config.identity import _inside, arm_id, cell_id, identity, slug
from rlvr_sweep.strict import Strict, added

FILES = {
    "model": "0" * 64,
    "data": "1" * 64,
    "eval.benchmarks.add": "2" * 64,
}  # stand-ins, so that only the schema counts


def cell(*lines: str) -> Composed:
    return compose_or_refuse(list(lines), multirun=False)[0]


@pytest.mark.parametrize(
    "line",
    [
        "runs=elsewhere",
        "compute=cpu",
        "compute.micro_batch=8",
        "compute.checkpoint_every=7",
        "tracking=off",
        "tracking.project=other",
        "eval.batch=7",
        "grading.workers=1",
        "model.attention=eager",
    ],
)
def test_where_and_how_a_cell_runs_is_outside_its_identity(line: str) -> None:
    assert cell(line).cell_id == cell().cell_id


@pytest.mark.parametrize(
    "line",
    [
        "seed=1",
        "model=lab/llama",
        "reward=python",
        "data.count=256",
        "algo.rollouts=21",
        "algo.adam_beta2=0.95",
        "estimator.kl=0.1",
        "clip=off_epsilon",
        "clip.epsilon_high=0.28",
        "eval.every=4",
        "model.lora={rank: 8}",
        "grading.soft_limit_s=1",
    ],
)
def test_what_can_change_a_result_is_in_it(line: str) -> None:
    assert cell(line).cell_id != cell().cell_id


def test_seeds_share_an_arm() -> None:
    assert cell("seed=1").arm_id == cell("seed=2").arm_id
    assert cell("seed=1").cell_id != cell("seed=2").cell_id
    assert cell("reward=python").arm_id != cell().arm_id


def test_a_local_file_counts_by_its_content_not_its_place(tmp_path: Path) -> None:
    rows = "".join(f'{{"id": "{i}", "prompt": "What is {i}+1?", "answer": "{i + 1}"}}\n' for i in range(16))
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / name).write_text(rows if name != "c.jsonl" else rows.replace('"1"', '"11"', 1))
    a, b, c = (cell("data=jsonl", f"data.path={tmp_path / n}.jsonl").cell_id for n in "abc")
    assert a == b != c


def test_a_slug_is_short_and_a_file_name() -> None:
    text = slug(cell("model=lab/qwen_math", "reward=ground_truth_without_python", "clip=off_small_rollout").cell)
    assert len(text) <= 60
    assert "/" not in text


def test_golden_ids() -> None:
    """These change only when identity.VERSION does: old runs would no longer be found."""
    own = ["algo.name=own", "estimator=grpo", "grading.grader=math_verify"]  # against what the preset brings
    lines = ["model=qwen2.5_math_7b", "algo=spurious_rewards", "data=deepscaler", "eval=paper", *own]
    default, spurious = cell(), cell(*lines)
    assert identity(default.cell, FILES)["version"] == 1
    golden = [(cell_id(c.cell, FILES), arm_id(c.cell, FILES)) for c in (default, spurious)]
    assert golden == [("bd193b794d85", "2400bb7d6599"), ("67c046ddb351", "d2e38472dc4b")]


class _Old(Strict):
    rate: float = 0.5


class _New(_Old):
    whiten: bool = added(False)


def test_a_new_option_makes_no_old_run_new() -> None:
    assert _inside(_New()) == _inside(_Old())
    assert _inside(_New(whiten=True)) == {"rate": 0.5, "whiten": True}
