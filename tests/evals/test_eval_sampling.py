"""Both graders are on every row of an evaluation, and the chosen one is what `correct` and `answer` say."""

from collections.abc import Iterator

import pytest

from rlvr_sweep.config.schema import Benchmark, MathGrader
from rlvr_sweep.evals.rows import SCHEMA
from rlvr_sweep.evals.sampling import Ranks, Task, evaluate
from rlvr_sweep.grading.pool import Grader

TEXTS = [r"so \boxed{8}", "The answer is 8.", r"\boxed{2^{3}}", "nothing", r"\boxed{5} no"]
MATH_VERIFY = [True, False, True, False, False]
AUTHORS = [True, True, False, False, False]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


def rows(grader: Grader, by: MathGrader, *, gold: str = "8", blind: bool = False) -> list[dict]:
    """A row a text; the tokens of text i are [i]."""
    task = Task(
        name="eights",
        benchmark=Benchmark.model_validate({"kind": "lab"}),
        question_ids=[f"q{i}" for i in range(len(TEXTS))],
        questions=["4 + 4?"] * len(TEXTS),
        golds=[gold] * len(TEXTS),
        prompts=[[i] for i in range(len(TEXTS))],
        max_tokens=8,
        blind=blind,
    )
    return evaluate(
        task,
        lambda prompts, *, seeds: [(prompt, False) for prompt in prompts],
        grader,
        lambda ids: [TEXTS[i] for [i] in ids],
        cell_id="0123456789ab",
        step=0,
        seed=0,
        batch=2,
        ranks=Ranks(0, 1, list),
        by=by,
    )


def test_answers_that_become_labels_are_read_without_the_gold_one(grader: Grader) -> None:
    assert [row["answer"] for row in rows(grader, "authors", gold="C")] == [None] * len(TEXTS)
    assert [row["answer"] for row in rows(grader, "authors", gold="C", blind=True)] == ["8", "8", "2^{3}", None, "5"]


def test_the_chosen_grader_decides_and_both_are_recorded(grader: Grader) -> None:
    by_math_verify, by_authors = rows(grader, "math_verify"), rows(grader, "authors")
    for found in (by_math_verify, by_authors):
        assert [row["correct_math_verify"] for row in found] == MATH_VERIFY
        assert [row["correct_authors"] for row in found] == AUTHORS
        assert set(found[0]) == set(SCHEMA.names)
    assert [row["correct"] for row in by_math_verify] == MATH_VERIFY
    assert [row["correct"] for row in by_authors] == AUTHORS
    assert [row["answer"] for row in by_math_verify] == ["8", None, "2^{3}", None, "5"]
    assert [row["answer"] for row in by_authors] == ["8", "8", "2^{3}", None, "5"]
    assert [row["reason"] for row in by_authors] == ["equal", "equal", "not_equal", "empty", "not_equal"]
