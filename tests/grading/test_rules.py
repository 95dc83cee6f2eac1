r"""What counts as an answer where the task is no maths, and verifiers by name through the grader's workers."""

from collections.abc import Iterator

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.grading import rules
from rlvr_sweep.grading.pool import Grader


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So [[KHOOR]].", "KHOOR"),
        ("[[A]] or rather [[B]]", "B"),
        ("[[A];[C]]", "[A];[C]"),
        ("[[ [A] ; [C] ]]", "[A] ; [C]"),
        ("[[[c1;c2]φ]]", "[c1;c2]φ"),
        ("[[[c]open]]", "[c]open"),
        ("[[1 2],[3 4]]", "[1 2],[3 4]"),
        ("[[ [0,1) ]]", "[0,1)"),
        ("[[]]", ""),
        ("cut off [[A", None),
        ("an index a[i][j] is no answer", None),
        (r"\boxed{KHOOR}", "KHOOR"),
        (r"\boxed{[[KHOOR]]}", "KHOOR"),
        (r"[[\boxed{5}]]", "5"),
        ("<answer>[[5]]</answer>", "5"),
        ("<think>[[4]]</think> <answer> 5 </answer>", "5"),
        ("<think>[[4]]</think> it is [[5]]", "5"),
        ("<think>[[4]]", None),
        ("[[7]]\n\nQuestion:\nWhat else?\nAnswer:\n[[8]]", "7"),  # a base model goes on after its answer
        ("First, the\nQuestion: what is 3 # 4?\nIt is [[11]].", "11"),  # a model repeats what it was asked
        ("the answer is 5", None),
    ],
)
def test_what_is_marked_counts(text: str, answer: str | None) -> None:
    assert rules.extract(text, verifier="kor/logic", how="boxed") == answer


@pytest.mark.parametrize(
    ("text", "how", "answer"),
    [
        ("[[5]]", "tagged", None),
        ("<answer>[[5]]</answer>", "tagged", "5"),
        ("<answer>KHOOR</answer>", "tagged", "KHOOR"),
        ("The answer is KHOOR.\nDone", "lenient", "KHOOR"),
        ("The answer is [[5]], not 6", "lenient", "5"),
        ("nothing at all, 7", "lenient", None),
    ],
)
def test_how_strictly_it_must_be_marked(text: str, how: rules.How, answer: str | None) -> None:
    assert rules.extract(text, verifier="puzzle/cipher", how=how) == answer


def test_maths_is_extracted_as_before() -> None:
    assert rules.extract(r"[[4]] \boxed{5}", verifier="math", how="boxed") == "5"
    assert rules.extract("it is 7", verifier="math", how="lenient") == "7"


def test_long_texts_of_brackets_take_linear_time() -> None:
    for text in ("[[" * 200_000, "[" * 200_000 + "]" * 200_000, "[[]" * 100_000, "]]" * 100_000 + "[["):
        rules.extract(text, verifier="kor/logic", how="lenient")


def test_every_name_is_a_judge_and_others_are_refused() -> None:
    for name in set(rules.NAMES) - {"math"}:
        assert callable(rules.find(name))
    with pytest.raises(UserError, match="no verifier 'kor/lojic': did you mean kor/logic"):
        rules.known("kor/lojic")


def test_the_grader_judges_by_name_and_keeps_verdicts_apart(grader: Grader) -> None:
    pairs = [("12", "12.0"), ("12", "21"), ("12", None), ("12", " "), ("12", "1" * 5000)]
    assert [v.correct for v in grader.verify(pairs)][:2] == [True, False]
    found = grader.named("puzzle/operation").verify(pairs)
    assert [v.reason for v in found] == ["extra_text", "not_equal", "no_answer", "empty", "too_long"]
    assert [v.correct for v in found] == [False] * 5
    assert [v.correct for v in grader.verify(pairs)][:2] == [True, False]
    assert grader.named("kor/cipher").verify([("12", "12"), ("12", "21")])[1].reason == "wrong_order"


def test_votes_are_counted_by_the_verifiers_equality(grader: Grader) -> None:
    answers = ["KHOOR", "khoor", None, "KHOOS", "", "KHOOR"]
    assert grader.named("puzzle/cipher").equivalence_classes(answers) == [0, 0, None, 1, None, 0]
    assert grader.named("kor/logic").equivalence_classes(["[A];[B]", "[A]; [B]", "[B];[A]"]) == [0, 0, 1]


def test_gold_answers_that_no_verifier_can_read_are_found(grader: Grader) -> None:
    faults = grader.named("puzzle/operation").gold_faults(["12", "twelve", " "])
    assert [(i, reason) for i, _, reason in faults] == [(1, "gold_unparseable"), (2, "gold_unparseable")]
    assert not grader.named("kor/operation").gold_faults(["2or-7/3", r"2\sqrt{5}", "{1,2}", "X≥12", "((1,2),(3,4))"])


def test_a_verifier_that_fails_costs_its_pair_only(grader: Grader) -> None:
    found = grader.verify([("5", "5")], verifier="puzzle/none")
    assert found[0] == (None, "error")
    assert grader.named("puzzle/operation").verify([("5", "5")])[0].correct is True
