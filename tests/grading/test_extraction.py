"""What counts as the answer of a completion."""

import time

import pytest

from rlvr_sweep.grading.extraction import How, answer_tag, extract, last_boxed, lenient, strip_thinking


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{4} no, \boxed{5}", "5"),
        (r"\boxed{ \frac{1}{2} }", r"\frac{1}{2}"),
        (r"\fbox{5}", "5"),
        (r"\boxed {5}", "5"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{1,2\right.}", r"\left\{1,2\right."),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"\boxed{4 and \boxed{6}", "6"),
        (r"} { \boxed{5}", "5"),
        (r"\boxed{5", None),
        (r"\boxed{} 5", ""),
        (r"\boxed{5} \boxed{ }", ""),
        ("boxed 5", None),
        (r"\mbox{5} \box{6}", None),
        ("", None),
    ],
)
def test_last_complete_box(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),  # the prompt opened it
        ("<think>a", ""),
        ("a<think>b</think>c<think>d", "c"),
        ("before<think>a", "before"),
        ("plain", "plain"),
    ],
)
def test_thinking(text: str, rest: str) -> None:
    assert strip_thinking(text) == rest


def test_a_box_in_the_thinking_does_not_count() -> None:
    assert last_boxed(r"<think>\boxed{5}</think> I do not know") is None
    assert last_boxed(r"\boxed{5} </think> so \boxed{6}") == "6"


def test_an_unfinished_thought_counts_only_where_the_prompt_did_not_open_it() -> None:
    assert extract(r"hm, \boxed{5}", how="boxed") == "5"
    assert extract(r"hm, \boxed{5}", how="boxed", think_open=True) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer> 5\n</answer>", "5"),
        ("<answer>4</answer><answer>a\nb</answer>", "a\nb"),
        ("<answer>5", None),
        ("5</answer>", None),
        ("12 newer</answer>", None),
        ("<answer></answer>", ""),
    ],
)
def test_answer_tags(text: str, answer: str | None) -> None:
    assert answer_tag(text) == answer


def test_tagged_unwraps_a_box() -> None:
    assert extract(r"<answer>It is \boxed{5}.</answer>", how="tagged") == "5"
    assert extract(r"\boxed{5}", how="tagged") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is 4. \boxed{5}", "5"),
        (r"The answer is 4. \boxed{}", "4"),
        ("So the answer is $x=5$. Done", "x=5"),
        ("The final answer is: 3.5.", "3.5"),
        ("**Answer is:** 1,234.", "1,234"),
        ("3 apples and -3,000.5 pears", "-3000.5"),
        ("x2 is 1/2", "1/2"),
        ("nothing here", None),
        ("the answer is 5 <think> 6", "5"),
    ],
)
def test_lenient(text: str, answer: str | None) -> None:
    assert lenient(text) == answer


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="boxed, tagged or lenient"):
        extract("5", how="strict")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("piece", ["\\boxed{", "answer is ", "<answer>", "1,", "$", "\\(", "{", "<think>", "}"])
@pytest.mark.parametrize("how", ["boxed", "tagged", "lenient"])
def test_hostile_texts_take_linear_time(piece: str, how: How) -> None:
    start = time.process_time()
    extract(piece * 30_000, how=how)
    assert time.process_time() - start < 1.0  # measured: 0.05 s; a quadratic scan takes minutes
