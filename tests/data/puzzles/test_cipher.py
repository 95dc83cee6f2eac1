"""Ciphers: each step read from the question and done again, forwards, whatever is asked for."""

import re
import string

import pytest

from rlvr_sweep.data.puzzles.cipher import FAMILY

LETTERS = string.ascii_uppercase


def step(text: str, word: str) -> str:
    """One stated step."""
    if match := re.search(r"the one (\d+) places later", text):
        return "".join(LETTERS[(LETTERS.index(c) + int(match[1])) % 26] for c in word)
    if match := re.search(r"below it in ([A-Z]{26})", text):
        return "".join(match[1][LETTERS.index(c)] for c in word)
    if "A by Z" in text:
        return "".join(LETTERS[25 - LETTERS.index(c)] for c in word)
    if "backwards" in text:
        return "".join(reversed(word))
    match = re.search(r"Move the first (?:(\d+) letters|letter) to the end", text)
    assert match, text
    count = int(match[1] or 1)
    return word[count:] + word[:count]


@pytest.mark.parametrize("difficulty", [1, 2, 5, 9])
def test_encoding_the_plain_word_gives_the_secret_one(difficulty: int) -> None:
    asked = set()
    for index in range(40):
        row = FAMILY.problem(index, difficulty)
        steps = re.findall(r"^\d+\. (.+)$", row.prompt, flags=re.MULTILINE)
        assert len(steps) == difficulty
        given = re.search(r"word is ([A-Z]+)[.]", row.prompt)
        assert given
        is_secret = "The encoded word" in row.prompt
        asked.add(is_secret)
        word, secret = (row.answer, given[1]) if is_secret else (given[1], row.answer)
        for text in steps:
            word = step(text, word)
        assert word == secret
    assert asked == {True, False}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("PNLA", (True, "equal")),
        ('"pnla"', (True, "equal")),
        ("PNAL", (False, "wrong_order")),
        ("PNLB", (False, "not_equal")),
        ("PNL", (False, "wrong_count")),
        ("PNLAA", (False, "wrong_count")),
        ("The word is PNLA", (False, "extra_text")),
        ("P N L A", (False, "wrong_form")),
    ],
)
def test_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 1)
    assert row.answer == "PNLA"
    assert FAMILY.verify(answer, row) == verdict
