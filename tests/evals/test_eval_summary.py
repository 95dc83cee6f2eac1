"""The facts of one benchmark at one step."""

import json
from dataclasses import asdict

import pytest

from rlvr_sweep.evals.summary import summarize


def row(question: str, sample: int, correct: bool | None, *, text: str = "", seed: int = 0, **changes) -> dict:
    facts = {"cell_id": f"cell{seed}", "step": 8, "benchmark": "add", "prompt_id": question, "question_id": question}
    verdicts = {"correct": correct, "correct_strict": correct, "correct_lenient": correct}
    rest = {"answer": "5", "has_code": "python" in text, "truncated": False, "tokens": 10}
    return facts | verdicts | rest | {"sample": sample, "text": text, "seed": seed} | changes


ROWS = [
    row("a", 0, True, text=r"python \boxed{5}"),
    row("a", 1, False, text="python", answer=None, truncated=True, tokens=40, correct_lenient=True),
    row("b", 0, True, text=r"\boxed{5}", correct_strict=False),
    row("b", 1, None, text=r"\boxed{}", answer=""),
]


def test_the_facts() -> None:
    found = summarize(ROWS, ks=(1, 2))
    assert (found["benchmark"], found["step"], found["completions"]) == ("add", 8, 4)
    assert found["accuracy"].mean == 0.75
    assert found["accuracy"].unscorable == 1
    assert found["accuracy_strict"].mean == 0.25
    assert found["accuracy_lenient"].mean == 1.0
    assert found["pass_at_k"][1] == found["accuracy"]
    assert (found["pass_at_k"][2].mean, found["pass_at_k"][2].n_questions) == (1.0, 1)
    assert found["code_frequency"] == 0.5
    assert found["accuracy_with_code"] == 0.5
    assert found["accuracy_without_code"] == 1.0
    assert found["answered_rate"] == 0.75
    assert found["boxed_rate"] == 0.5
    assert found["truncated_rate"] == 0.25
    assert found["mean_tokens"] == 17.5


def test_it_is_json() -> None:
    found = json.loads(json.dumps(summarize(ROWS), default=asdict))
    assert found["accuracy"]["mean"] == 0.75


def test_code_shares_weigh_into_the_accuracy() -> None:
    """spurious_rewards Tab. 1, Qwen2.5-Math-7B: 65% code, 60.9% right with it, 28.0% without: 49.4%."""
    made = [row(f"q{i}", 0, i < 198, text="python") for i in range(325)]
    made += [row(f"p{i}", 0, i < 49) for i in range(175)]
    found = summarize(made)
    assert round(100 * found["code_frequency"], 1) == 65.0
    assert round(100 * found["accuracy_with_code"], 1) == 60.9
    assert round(100 * found["accuracy_without_code"], 1) == 28.0
    assert round(100 * found["accuracy"].mean, 1) == 49.4


def test_what_is_not_there_is_none() -> None:
    found = summarize([row("a", 0, True), row("b", 0, None)])
    assert found["accuracy_with_code"] is None
    empty = summarize([])
    assert empty["accuracy"].mean is None
    assert [empty[key] for key in ("step", "code_frequency", "boxed_rate", "mean_tokens")] == [None] * 4


def test_seeds_of_an_arm_come_together() -> None:
    found = summarize([row("a", 0, True, seed=0), row("b", 0, True, seed=0), row("a", 0, True, seed=1)])
    assert found["accuracy"].n_seeds == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"step": 9}, "more than one step: 8, 9"), ({"benchmark": "x"}, "benchmark"), ({"cell_id": "x"}, "same seed")],
)
def test_rows_of_two_things_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        summarize([row("a", 0, True), row("b", 0, True, **changes)])
