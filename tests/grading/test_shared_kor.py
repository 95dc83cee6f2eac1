"""KOR-Bench's own answers, where its files are at hand: each is right when echoed, its neighbour's other one is not."""

import itertools
from pathlib import Path

import pytest

from rlvr_sweep.config.schema import Source
from rlvr_sweep.data.sources import load
from rlvr_sweep.grading import rules

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "kor_bench"
# A released equation that is not true. Right solutions of its question are still accepted.
WRONG = {"kor-puzzle-84"}


def rows(category: str, split: str, shots: int = 0) -> list:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there: this test reads the shared benchmark files")
    source = {"kind": "kor", "task": category, "split": split, "shots": shots, "path": str(DATA)}
    return load(Source.model_validate(source), key="data").rows


@pytest.mark.parametrize("category", rules.KOR)
def test_gold_answers_are_right_when_echoed(category: str) -> None:
    judge = rules.find(f"kor/{category}")
    found = rows(category, "test") + rows(category, "train")
    assert len(found) == 325
    refused = {row.id for row in found if not judge(gold=row.answer, answer=row.answer.split(" | ")[0])[0]}
    assert refused == (WRONG if category == "puzzle" else set())


@pytest.mark.parametrize("category", rules.KOR)
def test_the_next_questions_answer_is_wrong_unless_it_is_the_same(category: str) -> None:
    judge = rules.find(f"kor/{category}")
    found = rows(category, "test")
    pairs = [(a, b) for a, b in itertools.pairwise(found) if a.answer != b.answer]
    taken = [(a.id, a.answer, b.answer) for a, b in pairs if judge(gold=a.answer, answer=b.answer)[0]]
    assert len(pairs) > 100 and taken == []


@pytest.mark.parametrize("category", rules.KOR)
def test_every_prompt_says_how_to_answer_and_examples_never_hold_the_question(category: str) -> None:
    zero, three = rows(category, "test"), rows(category, "test", shots=3)
    assert len(zero) == len(three) == 250
    for alone, after in zip(zero, three, strict=True):
        asked = alone.prompt.partition("Question:\n")[2]
        assert "[[" in alone.prompt
        assert after.prompt.count("Question:\n") == 4 and after.prompt.endswith("Answer:")
        assert after.prompt.count(asked.strip()) == 1
