"""Circuits: every gate worked out again from the question, by the truth tables of the text."""

import re

import pytest

from rlvr_sweep.data.puzzles.circuit import FAMILY

TABLES = {  # values for (0,0), (0,1), (1,0), (1,1)
    "AND": "0001",
    "OR": "0111",
    "XOR": "0110",
    "NAND": "1110",
    "NOR": "1000",
    "IMPLIES": "1101",
}


def solve(prompt: str) -> str:
    values = {name: int(bit) for name, bit in re.findall(r"\b([A-D]) = ([01])\b", prompt)}
    gates = re.findall(r"^(G\d+) = (\w+) ([A-Z]+) (\(NOT )?(\w+)\)?$", prompt, flags=re.MULTILINE)
    for gate, first, kind, inverted, second in gates:
        x, y = values[first], values[second] ^ bool(inverted)
        values[gate] = int(TABLES[kind][2 * x + y])
        assert f"x {kind} y is " in prompt
    return "".join(str(values[gate]) for gate, *_ in gates)


@pytest.mark.parametrize("difficulty", [1, 3, 9])
def test_the_answer_follows_from_the_question(difficulty: int) -> None:
    answers = {row.answer for row in (FAMILY.problem(index, difficulty) for index in range(40))}
    assert len(answers) > 8
    for index in range(40):
        row = FAMILY.problem(index, difficulty)
        assert row.answer == solve(row.prompt) and len(row.answer) == 2 * difficulty + 2


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("1000", (True, "equal")),
        ("1 0 0 0", (True, "equal")),
        ("1,0,0,0", (True, "equal")),
        ("1001", (False, "not_equal")),
        ("0001", (False, "wrong_order")),
        ("10000", (False, "wrong_count")),
        ("100", (False, "wrong_count")),
        ("G: 1000", (False, "extra_text")),
        ("1002", (False, "wrong_form")),
    ],
)
def test_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 1)
    assert row.answer == "1000"
    assert FAMILY.verify(answer, row) == verdict
