"""Operations by a made-up rule: solved again from what the question says."""

import re

import pytest

from rlvr_sweep.data.puzzles.operation import FAMILY

RULE = re.compile(
    r"a (?P<sign>[#@]) b = (?P<usual>[^\n]+?)(?: if a is at least .*? b = (?P<other>[^\n]+) otherwise)?\n"
)


class Number:
    """A number whose `%` and `@` are the operators of a question."""

    def __init__(self, value: int, rules: dict[str, tuple[str, str | None]], modulus: int | None) -> None:
        self.value, self.rules, self.modulus = value, rules, modulus

    def _by(self, sign: str, other: "Number") -> "Number":
        usual, swapped = self.rules[sign]
        a, b = self.value, other.value
        rule = swapped if swapped and a < b else usual
        value = eval(rule.replace(" x ", "*"), {"a": a, "b": b})
        return Number(value % self.modulus if self.modulus else value, self.rules, self.modulus)

    def __mod__(self, other: "Number") -> "Number":
        return self._by("#", other)

    def __matmul__(self, other: "Number") -> "Number":
        return self._by("@", other)


def solve(prompt: str) -> int:
    rules = {m["sign"]: (m["usual"], m["other"]) for m in RULE.finditer(prompt)}
    modulus = 1000 if "divided by 1000" in prompt else None
    asked = prompt.split("What is ")[1].split("?")[0].replace("#", "%")
    names = re.sub(r"\d+", lambda m: f"n({m.group()})", asked)
    return eval(names, {"n": lambda value: Number(value, rules, modulus)}).value


@pytest.mark.parametrize("difficulty", range(1, 10))
def test_the_answer_follows_from_the_question(difficulty: int) -> None:
    for index in range(25):
        row = FAMILY.problem(index, difficulty)
        assert row.answer == str(solve(row.prompt))
        asked = row.prompt.split("What is ")[1]
        assert len(re.findall("[#@]", asked)) == difficulty


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("270", (True, "equal")),
        (" $270$. ", (True, "equal")),
        ("271", (False, "not_equal")),
        ("-270", (False, "not_equal")),
        ("720", (False, "not_equal")),
        ("270 and 5", (False, "extra_text")),
        ("85 # 6 = 270", (False, "extra_text")),
        ("2 70", (False, "wrong_form")),
        ("270.5", (False, "extra_text")),
    ],
)
def test_near_misses(answer: str, verdict: tuple) -> None:
    row = FAMILY.problem(5, 1)
    assert row.answer == "270"
    assert FAMILY.verify(answer, row) == verdict
