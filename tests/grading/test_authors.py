r"""The second grader: what it takes for an answer, what it calls equal, and that it agrees with what is known of the
authors' own (spurious_rewards 1.2, 1.5, 5 and 1.3)."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr_sweep.grading import authors
from rlvr_sweep.grading.authors import claim, extract, fast_judge, grade, judge
from rlvr_sweep.grading.authors_forms import claimed
from rlvr_sweep.grading.pool import Grader

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# MATH-500 gold answers that are wrong when echoed: what extraction strips of them it does not strip of the gold answer
ECHO_FAILS = {r"1 \pm \sqrt{19}", r"\text{east}", "(a+5)(b+2)", r"3 \pm 2 \sqrt{2}", r"\{1\pm\sqrt{5},-2\}"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"final answer is $5$. I hope it is correct. \boxed{6}", "5"),
        (r"so \boxed{4}, no, \boxed{\frac{1}{2}} it is", r"\frac{1}{2}"),
        (r"\boxed{5} ... \boxed{}", ""),
        (r"\boxed{5", "5"),
        ("so boxed answer", "answer"),
        ("boxed 5$ or 6", "5"),
        ("The answer is 7 apples.", "7"),
        ("final answer is:\n 3/4.", r"\frac{3}{4}"),
        ("答案是 8。 不, 答案是 9", "9"),
        ("12 apples and 1,234.5 pears", "1234.5"),
        ("nothing", ""),
        (r"\boxed{x = 5 \text{ cm}^2.}", "5"),
        (r"\boxed{\text{(C)}}", "C"),
        (r"\boxed{10\%}", "10"),
        (r"\boxed{142.0}", "142"),
        (r"\boxed{twenty-five}", "25"),
        (r"\boxed{two hundred and five thousand}", "205000"),
        (r"\boxed{0.5}", "0.5"),  # as in the released labels: votes tell it from 1/2
    ],
)
def test_extraction(text: str, answer: str) -> None:
    assert extract(text) == answer


def test_a_gold_letter_looks_for_letters_everywhere() -> None:
    assert claim("It is (B), a clear case", gold="C") == "A"  # the article
    assert claim("nothing", gold="C") == ""
    assert claim(r"It is B, \boxed{7}", gold="7") == "7"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{5} <answer>12 pears</answer>", "12"),
        (r"<answer>4</answer> <answer>\boxed{6}", "6"),
        (r"no tag, \boxed{7}", "7"),
        ("<answer>The answer is 12 newer</answer>", "12"),  # the end of "newer" is taken for the tag's, then units go
    ],
)
def test_of_tagged_answers_the_last_counts(text: str, answer: str) -> None:
    assert claim(text, gold="7", tagged=True) == answer


EQUAL = [
    ("142", "142.0"), ("70", "070"), ("5 cm", "5"), ("10%", "10"), ("A", "(A)"), ("5,000", "5000"), ("0.5", "1/2"),
    ("0.25", r"\frac14"), (r"\dfrac{3}{4}", "3/4"), (r"\sqrt8", r"2\sqrt{2}"), ("2x+1", "1+x*2"),
    (r"(1, \frac{1}{2})", "(1,0.5)"), (r"137\frac{1}{2}", "137.5"), (r"90^\circ", "90"), ("East", r"\text{east}"),
    (r"\{1,2\}", "1,2"), (r"x^{2}", "x*x"), ("", ""),
]  # fmt: skip
DIFFERENT = [
    ("1,2", "2,1"), ("2^{3}", "8"), ("0.3333", r"\frac{1}{3}"), ("[0,1)", "[0,1]"), ("2/4", "1/2"), ("5", "6"),
    ("(1,2)", "(1,2,3)"), ("(1,2)", "1,2"), ("", "5"), ("5", ""), ("2.5", "2"), ("x+y+z", "z+y+x"), ("x", "y"),
    (r"x^{(2)}", "x*x"), ("(x", "x"), ("x^{10}", "x^{11}"), ("4/2", "2"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal(one: str, other: str) -> None:
    assert grade(pred=one, gold=other) is True and grade(pred=other, gold=one) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    assert grade(pred=one, gold=other) is False and grade(pred=other, gold=one) is False


@pytest.mark.parametrize(
    ("gold", "answer", "reason"),
    [
        ("5", None, "no_answer"), ("5", "", "empty"), ("x", "1" * 600, "too_long"), ("x", "9^9^9", "too_big"),
        ("x", "9**9**9", "too_big"), ("x", "(x", "parse_fail"), ("x", "2x", "not_equal"),
        (r"\frac{1}{", r"\frac{1}{", "equal"),
    ],
)  # fmt: skip
def test_reasons(gold: str, answer: str | None, reason: str) -> None:
    known = fast_judge(gold, answer)
    assert (known or judge(gold=gold, answer=str(answer))) == (reason == "equal", reason)


@pytest.mark.parametrize(
    "text", ["__import__('os').getpid()", "[].append(1)", "x.is_real", "exec('1')", "a:=1", "lambda:1", "x if x else 1"]
)
def test_a_model_s_text_is_never_run(text: str) -> None:
    assert fast_judge("x", text) == (False, "not_equal")  # what is no formula does not come to sympy


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


def test_the_pool_keeps_the_graders_apart(grader: Grader) -> None:
    pairs = [("8", "2^{3}"), ("x+1", "1+x"), ("1/3", "0.3333333333333333"), (r"\frac12x", "x/2"), ("", "")]
    ours, theirs = grader.verify(pairs), grader.verify(pairs, verifier=authors.NAME)
    assert [v.correct for v in ours] == [True, True, True, True, False]
    assert [v.correct for v in theirs] == [False, True, False, True, True]
    grader.close()
    assert grader.verify(pairs, verifier=authors.NAME) == theirs and not grader.worker_pids()  # known by now


def test_the_pool_limits_it() -> None:
    # equal, which takes sympy 1.3 s
    slow = ("(sqrt(x+1)+sqrt(x))^9(sqrt(y+1)+sqrt(y))^9", "1/((sqrt(x+1)-sqrt(x))^9(sqrt(y+1)-sqrt(y))^9)")
    with Grader(workers=1, soft_limit_s=0.4, hard_limit_s=60.0) as hasty:
        pairs = [("x+1", "1+x"), slow, ("x+2", "2+x")]
        assert hasty.verify(pairs, verifier=authors.NAME) == [(True, "equal"), (None, "timeout"), (True, "equal")]


def _lines(name: str) -> list[dict]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there: this test reads the shared files")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("name", "count"), [("math500", 500), ("amc", 83), ("aime24", 30), ("aime25", 30)])
def test_echoes_are_right_but_for_the_five_known(name: str, count: int) -> None:
    golds = [line["answer"] for line in _lines(f"math/{name}.jsonl")]
    wrong = {gold for gold in golds if not grade(pred=extract(rf"It is $\boxed{{{gold}}}$."), gold=gold)}
    assert len(golds) == count and wrong == (ECHO_FAILS if name == "math500" else set())


def _labels(model: str) -> dict[str, str]:
    return {line["prompt"]: line["answer"] for line in _lines(f"labels/majority_{model}_100.jsonl")}


def test_released_labels_are_wrong_exactly_where_the_authors_say() -> None:
    """`_incorrect` holds the prompts whose label their grader calls wrong. Of three models the labels are of the same
    prompts, and those of Qwen2.5-Math-7B are right but for one, which is among its `_incorrect`."""
    best, wrong = _labels("qwen2.5_math_7b"), _labels("qwen2.5_math_7b_incorrect")
    gold = {prompt: label for prompt, label in best.items() if prompt not in wrong}
    assert len(gold) == 99
    for model, right in (("qwen2.5_1.5b", 47), ("olmo_2_1124_7b", 1)):
        labels, incorrect = _labels(model), _labels(f"{model}_incorrect")
        assert {p for p in gold if not grade(pred=labels[p], gold=gold[p])} == {p for p in gold if p in incorrect}
        assert sum(p not in incorrect for p in labels) == right


def test_released_labels_are_texts_that_extraction_leaves_as_they_are() -> None:
    labels = {label for model in ("qwen2.5_math_7b", "olmo_2_1124_7b_sft") for label in _labels(model).values()}
    assert [label for label in labels if claimed(label) != label] == []


HOSTILE = [
    "\\boxed{", "he answer is ", "1,", "$", "\\frac", "{", "}", "a ", "\\text{", "x=", "1 ", "5.0", "-", "^\\circ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    start = time.process_time()
    extract(piece * 30_000)
    extract(r"\boxed{" + piece * 30_000 + "}")
    fast_judge("x+1", (piece * 512)[:512])
    assert time.process_time() - start < 2.0
