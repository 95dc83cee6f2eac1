"""Rewards that look at the text: format, python, no_repetition, with the examples in which paper and code differ."""

import random
import re
import time

import pytest

from rlvr_sweep.rewards import parse, score
from rlvr_sweep.rewards.text import boxes, has_box, repeats


@pytest.mark.parametrize(
    ("text", "at_least_one", "last_box"),
    [
        (r"so \boxed{5}", 1, 1),
        (r"so \boxed{ \frac{1}{2} }", 1, 1),
        ("no box, 5", 0, 0),
        (r"\boxed{}", 0, 0),
        (r"\boxed{ }", 0, 0),
        (r"\boxed{5} ... \boxed{}", 1, 0),  # at least one; the code looks at the last
        (r"\boxed{} ... \boxed{5}", 1, 1),
        ("so boxed answer", 0, 1),  # the code asks for no backslash and no brace
        ("a boxed", 0, 0),
        (r"$\boxed 7$", 0, 1),
        ("boxed$ 7$", 0, 0),  # up to the next "$"
        (r"cut off at \boxed{5", 0, 1),  # the code takes unbalanced braces
        (r"\boxed{\boxed{}}", 1, 0),
        (r"\boxed{\{1, 2\}}", 1, 1),
        (r"{ \boxed{5} } } \boxed{", 1, 0),
    ],
)
def test_format(group, text: str, at_least_one: float, last_box: float) -> None:
    assert score(parse("format"), group(texts=[text])) == [at_least_one]
    assert score(parse({"name": "format", "variant": "last_box"}), group(texts=[text])) == [last_box]


def test_boxes_are_what_closed_braces_hold() -> None:
    assert boxes(r"\boxed{1} \boxed{\frac{1}{2}} \boxed {\{3\}} \boxed{4") == ["1", r"\frac{1}{2}", r"\{3\}"]
    assert boxes(r"\boxed{a \boxed{b}}") == ["b", r"a \boxed{b}"]
    assert not has_box(r"\boxed\{5\}")


def test_looking_for_boxes_takes_linear_time() -> None:
    started = time.process_time()
    assert not has_box(r"\boxed{" * 160_000)
    assert time.process_time() - started < 10  # 0.04 s; looking again from each box takes an hour


@pytest.mark.parametrize(
    ("text", "plain", "fenced"),
    [
        ("Let's solve this using Python.", 1, 0),
        ("```python\nprint(1)\n```", 1, 1),
        ("```Python\nprint(1)\n```", 1, 1),
        ("``` python\n```", 1, 0),
        ("by PYTHONic means", 1, 0),
        ("def f(): return 1", 0, 0),
    ],
)
def test_python(group, text: str, plain: float, fenced: float) -> None:
    assert score(parse("python"), group(texts=[text])) == [plain]
    assert score(parse({"name": "python", "variant": "fenced"}), group(texts=[text])) == [fenced]


SENTENCE = "So the answer is 7. "


@pytest.mark.parametrize(
    ("text", "paper", "code"),
    [
        ("", 1, 1),
        ("7", 1, 1),
        ("the sum of the terms of the series is the half of the first, " * 10, 1, 0),  # 10 times: the code's bound
        (SENTENCE * 9, 1, 1),
        (SENTENCE * 10, 1, 0),
        (SENTENCE * 11, 0, 0),
        ("Well. " + SENTENCE * 11 + "Done.", 0, 0),
        (SENTENCE + "x".join([SENTENCE] * 12) + SENTENCE, 0, 0),  # the string is "x" + the sentence
        ("-" * 10, 1, 1),
        ("-" * 11, 0, 1),  # any string, in the paper's wording; at least 10 characters in the code
        ("-" * 100, 0, 0),  # 10 times 10 dashes
        ("ab" * 50, 0, 0),  # the code sees 10 times "ababababab"
        ("abc" * 30, 0, 1),
        ("答案是七" * 11, 0, 1),
        ("答案是七。所以我们得到" * 10, 1, 0),
        ("x" + ("abcdefghij" * 30)[:109] + "x", 1, 0),
        ("x" + ("abcdefghij" * 30)[:99] + "x", 1, 1),
        ("".join(chr(33 + i) for i in range(256)) * 10, 1, 0),
        ("".join(chr(33 + i) for i in range(257)) * 10, 1, 1),  # longer than the code looks
        ("\0" * 10, 1, 1),
        ("\0" * 11, 0, 1),
        ("\ud800" * 11, 0, 1),  # a lone surrogate
        (" ".join(str(i) for i in range(2000)), 1, 1),
    ],
)
def test_no_repetition(group, text: str, paper: float, code: float) -> None:
    assert score(parse("no_repetition"), group(texts=[text])) == [paper]
    assert score(parse({"name": "no_repetition", "variant": "code"}), group(texts=[text])) == [code]


@pytest.mark.parametrize(("times", "shortest", "longest"), [(2, 1, None), (3, 1, None), (3, 2, 4), (11, 1, None)])
def test_repeats_agrees_with_a_regular_expression(times: int, shortest: int, longest: int | None) -> None:
    pattern = re.compile(rf"(.{{{shortest},{longest or ''}}})\1{{{times - 1}}}", re.DOTALL)
    draw = random.Random(times)
    found = 0
    for _ in range(400):
        unit = "".join(draw.choices("ab\n答", k=draw.randint(1, 6)))
        text = "".join(draw.choices("ab", k=3)) + unit * draw.randint(1, times + 1) + "".join(draw.choices("ab", k=3))
        assert repeats(text, times=times, shortest=shortest, longest=longest) == bool(pattern.search(text)), text
        found += bool(pattern.search(text))
    assert 20 < found < 400 or times == 2


@pytest.mark.parametrize("period", [50, 51, 52, 80])
def test_long_periods_are_found_wherever_they_begin(period: int) -> None:
    unit = "".join(chr(0x4E00 + i) for i in range(period))
    for begin in range(3 * period):
        before = "".join(chr(0x100 + i) for i in range(begin))
        assert repeats(before + unit * 3, times=3)
        assert not repeats(before + (unit * 3)[:-1] + "!", times=3)


def test_a_long_text_is_searched_by_vectors() -> None:
    draw = random.Random(0)
    text = " ".join("".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(1700))[:10_000]
    started = time.process_time()
    for _ in range(20):
        assert not repeats(text)
    assert time.process_time() - started < 10  # 0.04 s
