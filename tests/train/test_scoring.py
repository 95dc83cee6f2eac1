"""Which grader rewards go by, and that both are recorded."""

from pathlib import Path

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion


def scored(texts: list[str], *lines: str, label: str | None = None, gold: str = "8") -> list[Scored]:
    cell = compose_or_refuse(list(lines), multirun=False)[0].cell
    prompt = Prompt(row_id="0", text="?", gold=gold, label=label, columns={})
    with Grader(1) as grader:
        group = [completion(text, tokens=1, truncated=False, how="boxed") for text in texts]
        return Scorer(cell, grader).score([prompt], [group], rollout=1)


TEXTS = [r"\boxed{8}", "The answer is 8.", r"\boxed{2^{3}}", "nothing"]


@pytest.mark.parametrize(
    ("grader", "rewards", "answers"),
    [("math_verify", [1, 0, 1, 0], ["8", None, "2^{3}", None]), ("authors", [1, 1, 0, 0], ["8", "8", "2^{3}", ""])],
)
def test_rewards_go_by_the_chosen_grader(grader: str, rewards: list[float], answers: list[str | None]) -> None:
    found = scored(TEXTS, "reward=ground_truth", f"grading.grader={grader}")
    assert [s.reward for s in found] == rewards
    assert [s.verdict.correct for s in found] == [bool(reward) for reward in rewards]
    assert [s.completion.answer for s in found] == answers
    assert [s.correct_math_verify for s in found] == [True, False, True, False]
    assert [s.correct_authors for s in found] == [True, True, False, False]


@pytest.mark.parametrize(
    ("label", "correct", "rewards"),
    [("", False, [0, 1, 0, 1]), (None, None, [None] * 4), ("9", False, [0] * 4), ("8.0", True, [1, 0, 1, 0])],
)
def test_an_empty_label_is_wrong_and_no_label_is_unknown(
    label: str | None, correct: bool | None, rewards: list[float | None], tmp_path: Path
) -> None:
    (tmp_path / "labels.jsonl").write_text('{"id": "add-36-51", "label": "1"}\n')
    found = scored(TEXTS, "reward=majority_offline", f"data.labels={tmp_path}/labels.jsonl", label=label)
    assert {s.label_correct for s in found} == {correct} and [s.reward for s in found] == rewards


def test_votes_go_by_the_chosen_grader() -> None:
    found = scored(["The answer is 3.", "It is 3", r"\boxed{8}"], "reward=majority_online", "grading.grader=authors")
    assert [s.reward for s in found] == [1, 1, 0] and found[0].majority is False


@pytest.mark.parametrize(
    ("label", "gold", "rewards"),
    [
        ("C", "8", [0, 1]),  # the last letter that stands alone counts: that of "a"
        ("8", "C", [1, 0]),
        ("", "C", [0, 0]),
    ],
)
def test_for_a_label_reward_it_is_the_label_that_makes_multiple_choice(
    label: str, gold: str, rewards: list[float], tmp_path: Path
) -> None:
    """The authors' code is given the label in the place of the gold answer, and nothing else."""
    (tmp_path / "labels.jsonl").write_text('{"id": "add-36-51", "label": "1"}\n')
    lines = ("reward=majority_offline", f"data.labels={tmp_path}/labels.jsonl", "grading.grader=authors")
    found = scored([r"\boxed{8}, a fact", r"C, so \boxed{5}"], *lines, label=label, gold=gold)
    assert [s.reward for s in found] == rewards
    assert [s.completion.answer for s in found] == (["8", "5"] if gold == "8" else ["A", "C"])
