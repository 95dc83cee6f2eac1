"""The numbers of a rollout: means over what is known, and rows from which they can be recomputed."""

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.metrics import mean, rollout_metrics, row
from rlvr_sweep.train.scoring import Prompt, Scorer, completion


def scored(texts: list[list[str]], golds: list[str], *lines: str, labels: list[str] | None = None) -> list[dict]:
    """Rows of a rollout with one group of texts a prompt, scored by the cell that `lines` compose."""
    cell = compose_or_refuse(list(lines), multirun=False)[0].cell
    prompts = [
        Prompt(row_id=str(i), text="?", gold=gold, label=labels[i] if labels else None, columns={})
        for i, gold in enumerate(golds)
    ]
    groups = [[completion(t, tokens=len(t), truncated=False, how="boxed") for t in group] for group in texts]
    with Grader(1) as grader:
        found = Scorer(cell, grader).score(prompts, groups, rollout=1)
    return [row(s, rollout=1, step=1, advantage=0.0) for s in found]


def test_the_oracle_is_recorded_beside_any_reward() -> None:
    rows = scored([[r"```python``` \boxed{4}", r"\boxed{4}", r"python \boxed{5}", "none"]], ["4"], "reward=python")
    metrics = rollout_metrics(rows)
    assert metrics["reward"] == 0.5
    assert metrics["accuracy/ground_truth"] == 0.5
    assert metrics["agreement"] == 0.5
    assert metrics["code_frequency"] == 0.5
    assert metrics["accuracy/with_code"] == 0.5
    assert metrics["boxed_rate"] == 0.75
    assert metrics["frac_reward_zero_std"] == 0.0


def test_missing_is_null_and_not_zero() -> None:
    rows = scored([["plain", r"\boxed{4}"]], ["4"])
    metrics = rollout_metrics(rows)
    assert metrics["accuracy/with_code"] is None  # there is no code
    assert metrics["label_accuracy"] is None  # there are no labels
    assert mean([]) is None
    assert mean([None, True, False]) == 0.5


def test_majority_and_its_accuracy() -> None:
    rows = scored(
        [
            [r"\boxed{4}", r"\boxed{4.0}", r"\boxed{5}", "none"],
            [r"\boxed{1}", r"\boxed{1}", r"\boxed{2}", r"\boxed{3}"],
        ],
        ["4", "2"],
        "reward=majority_online",
    )
    assert [r["reward"] for r in rows] == [1, 1, 0, 0, 1, 1, 0, 0]
    metrics = rollout_metrics(rows)
    assert metrics["majority_accuracy"] == 0.5
    assert metrics["majority_ratio"] == 0.5


def test_labels_reward_and_their_accuracy(tmp_path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"id": "add-36-51", "label": "1"}\n')
    rows = scored(
        [[r"\boxed{4}", r"\boxed{5}"], [r"\boxed{7}", r"\boxed{8}"]],
        ["4", "7"],
        "reward=majority_offline",
        f"data.labels={tmp_path}/labels.jsonl",
        labels=["5", "7"],
    )
    assert [r["reward"] for r in rows] == [0, 1, 1, 0]
    assert rollout_metrics(rows)["label_accuracy"] == 0.5


def test_what_the_grader_cannot_judge_is_unscorable_not_wrong() -> None:
    rows = scored([[r"\boxed{4}", "no answer at all"]], [r"\frac{1}{"])  # nobody can parse this gold answer
    assert rows[0]["correct"] is None
    assert rows[0]["reward"] is None
    metrics = rollout_metrics(rows)
    assert metrics["unscorable_rate"] == 0.5
    assert metrics["accuracy/ground_truth"] == 0.0  # over what is known


@pytest.mark.parametrize("key", ["reward", "accuracy/ground_truth", "code_frequency", "boxed_rate"])
def test_a_mean_is_over_completions(key: str) -> None:
    rows = scored([[r"python \boxed{4}", r"python \boxed{4}", "x", "y"]], ["4"])
    assert rollout_metrics(rows)[key] == 0.5
