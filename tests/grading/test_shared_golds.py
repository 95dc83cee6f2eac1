"""Real gold answers, echoed in a box, grade correct; so does another spelling of them; a wrong number does not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr_sweep.grading.extraction import extract
from rlvr_sweep.grading.pool import Grader

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "math"
FILES = {
    "math500": 500,
    "aime24": 30,
    "aime25": 30,
    "amc": 83,
    "deepscaler_level1_2000": 2000,
    "deepscaler_level5_500": 500,
}
# gold answers that do not grade correct when echoed, with the reason; today there are none
EXCEPTIONS: dict[str, str] = {}


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


def _golds(name: str) -> list[str]:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there: this test reads the shared benchmark files")
    golds = [json.loads(line)["answer"] for line in path.read_text().splitlines()]
    assert len(golds) == FILES[name]
    return golds


@pytest.mark.parametrize("name", FILES)
def test_an_echo_is_correct(name: str, grader: Grader) -> None:
    golds = _golds(name)
    verdicts = grader.verify([(gold, extract(rf"So it is $\boxed{{{gold}}}$.", how="boxed")) for gold in golds])
    wrong = {gold: verdict.reason for gold, verdict in zip(golds, verdicts, strict=True) if not verdict.correct}
    assert wrong == EXCEPTIONS


def _respelled(gold: str) -> str:
    """The same answer as another text."""
    return gold.replace(r"\left", r"\Bigl").replace(r"\right", r"\Bigr").replace(r"\frac", r"\dfrac")


@pytest.mark.parametrize("name", ["math500", "amc", "aime25"])
def test_another_spelling_is_correct(name: str, grader: Grader) -> None:
    """Not the same text: fractions and brackets written otherwise, so that comparison has work to do."""
    golds = _golds(name)
    verdicts = grader.verify([(gold, rf"\displaystyle {_respelled(gold)}.") for gold in golds])
    assert [gold for gold, verdict in zip(golds, verdicts, strict=True) if not verdict.correct] == []


@pytest.mark.parametrize("name", ["math500"])
def test_every_gold_can_be_judged_and_a_wrong_answer_is_wrong(name: str, grader: Grader) -> None:
    golds = _golds(name)
    assert grader.gold_faults(golds) == []
    verdicts = grader.verify([(gold, "-987.123") for gold in golds])
    assert [gold for gold, verdict in zip(golds, verdicts, strict=True) if verdict.correct is not False] == []
