"""The gate of thought and answer: as described, and as released, where no part may hold a new line."""

import random
import re
import time

import pytest

from rlvr_sweep.rewards import parse, score
from rlvr_sweep.rewards.think_format import fits


@pytest.mark.parametrize(
    ("text", "fixed", "released"),
    [
        ("<think>a</think><answer>5</answer>", 1, 1),
        ("  <think>a</think>\n\n<answer>5</answer>\n", 1, 1),
        ("<think>a\nb</think><answer>5</answer>", 1, 0),
        ("<think>a</think><answer>5\n6</answer>", 1, 0),
        ("<think></think><answer></answer>", 1, 1),
        ("<think>a</think> so <answer>5</answer>", 0, 0),
        ("<think>a</think><answer>5</answer> done", 0, 0),
        ("well <think>a</think><answer>5</answer>", 0, 0),
        ("<think>a<answer>5</answer>", 0, 0),
        ("<think>a</think><answer>5", 0, 0),
        ("<answer>5</answer>", 0, 0),
        ("", 0, 0),
    ],
)
def test_both_versions(group, text: str, fixed: int, released: int) -> None:
    assert score(parse("think_format"), group(texts=[text])) == [fixed]
    assert score(parse({"name": "think_format", "released": True}), group(texts=[text])) == [released]


def test_it_is_the_regular_expression_it_stands_for() -> None:
    pattern, draws = r"^<think>.*?</think>\s*<answer>.*?</answer>$", random.Random(0)
    parts = ["<think>", "</think>", "<answer>", "</answer>", "\n", " ", "a"]
    seen = set()
    for _ in range(20_000):
        text = "".join(draws.choices(parts, k=draws.randrange(9)))
        text = f"<think>{text}</answer>" if draws.random() < 0.8 else text
        for released, flags in ((True, 0), (False, re.DOTALL)):
            expected = re.match(pattern, text.strip(), flags) is not None
            assert fits(text, released=released) == expected, text
            seen.add((released, expected))
    assert len(seen) == 4


def test_a_prompt_may_have_opened_the_thought(group) -> None:
    text = "a</think><answer>5</answer>"
    assert score(parse({"name": "think_format", "opened": True}), group(texts=[text])) == [1]
    assert score(parse("think_format"), group(texts=[text])) == [0]


def test_it_gates_another_reward(group) -> None:
    texts = ["<think>a</think><answer>5</answer>", "5", "<think>a</think><answer>6</answer>"]
    gated = parse({"name": "all_of", "of": ["think_format", "ground_truth"]})
    assert score(gated, group(texts=texts, answers=["5", "5", "6"])) == [1, 0, 0]


def test_hostile_texts_take_linear_time() -> None:
    began = time.process_time()
    for text in (
        "<think>" + "</think><answer></answer>\n" * 40_000 + "x",
        "<think>" + "</think> " * 100_000 + "</answer>",
    ):
        assert not fits(text, released=True)
    assert time.process_time() - began < 20
