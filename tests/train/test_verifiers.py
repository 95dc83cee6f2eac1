"""Tasks that are no maths go the same way: their verifier reads answers, rewards them, counts votes and evaluates."""

import json
from pathlib import Path

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Benchmark
from rlvr_sweep.evals.rows import SCHEMA
from rlvr_sweep.evals.sampling import Ranks, Task, evaluate
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion

TEXTS = ["So [[A];[C]]", "<answer>[A];[ C ]</answer>", r"\boxed{[C];[A]}", "nothing", "[[B];[C]]"]


def scored(data: str, texts: list[str], *lines: str, gold: str, label: str | None = None) -> list[Scored]:
    composed = compose_or_refuse([f"data={data}", *lines], multirun=False)[0].cell
    prompt = Prompt(row_id="0", text="?", gold=gold, label=label, columns={})
    verifier = composed.data.verifier
    group = [completion(text, tokens=1, truncated=False, how="boxed", verifier=verifier) for text in texts]
    with Grader(1) as grader:
        return Scorer(composed, grader).score([prompt], [group], rollout=1)


@pytest.fixture
def logic(tmp_path: Path) -> str:
    rows = [{"rule": "r", "question": f"q{n}", "answer": "[[A];[C]]"} for n in range(16)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.path={tmp_path / 'own.jsonl'}"


def test_rewards_votes_and_labels_go_by_the_verifier(logic: str, tmp_path: Path) -> None:
    found = scored("kor/logic", TEXTS, logic, gold="[A];[C]")
    assert [s.reward for s in found] == [1, 1, 0, 0, 0]
    assert [s.verdict.reason for s in found] == ["equal", "equal", "wrong_order", "no_answer", "not_equal"]
    assert {s.correct_math_verify for s in found} == {s.correct_authors for s in found} == {None}
    votes = scored("kor/logic", TEXTS, logic, "reward=majority_online", gold="[A];[C]")
    assert [s.reward for s in votes] == [1, 1, 0, 0, 0] and votes[0].majority is True
    (tmp_path / "labels.jsonl").write_text('{"id": "kor-logic-1", "label": "[C];[A]"}\n')
    labels = ["reward=majority_offline", f"data.labels={tmp_path / 'labels.jsonl'}"]
    wrong = scored("kor/logic", TEXTS, logic, *labels, gold="[A];[C]", label="[C];[A]")
    assert [s.reward for s in wrong] == [0, 0, 1, 0, 0] and wrong[0].label_correct is False


def test_the_second_math_grader_has_no_say_in_other_tasks() -> None:
    found = scored("puzzle/cipher", ["[[KHOOR]]", "KHOOR"], "grading.grader=authors", gold="KHOOR")
    assert [s.reward for s in found] == [1, 0] and found[0].completion.answer == "KHOOR"


def test_evaluation_rows_hold_the_verifiers_verdicts() -> None:
    texts = ["[[KHOOR]]", "The answer is KHOOR.", "[[KHOOS]]"]
    task = Task(
        name="cipher",
        benchmark=Benchmark.model_validate({"kind": "puzzle", "task": "cipher"}),
        question_ids=["a", "b", "c"],
        questions=["?"] * 3,
        golds=["KHOOR"] * 3,
        prompts=[[0], [1], [2]],
        max_tokens=8,
    )
    with Grader(1) as grader:
        rows = evaluate(
            task,
            lambda prompts, *, seeds: [(prompt, False) for prompt in prompts],
            grader,
            lambda ids: [texts[i] for [i] in ids],
            cell_id="0123456789ab",
            step=0,
            seed=0,
            batch=3,
            ranks=Ranks(0, 1, list),
            by="authors",
        )
    assert set(rows[0]) == set(SCHEMA.names)
    assert [row["correct"] for row in rows] == [row["correct_strict"] for row in rows] == [True, False, False]
    assert [row["correct_lenient"] for row in rows] == [True, True, False]
    assert [row["reason"] for row in rows] == ["equal", "no_answer", "not_equal"]
    assert [row["answer"] for row in rows] == ["KHOOR", None, "KHOOS"]
    assert {row["correct_authors"] for row in rows} == {None}
