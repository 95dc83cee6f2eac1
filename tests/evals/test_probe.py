"""The verb `probe`: cuts, ROUGE-L and exact match, and the benchmark it can make."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from rlvr_sweep.data import random_calculation
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import jobs, probe
from rlvr_sweep.evals.job import Prompt
from rlvr_sweep.evals.jobs import compose
from rlvr_sweep.evals.probe_scores import compare, cut, holds, rouge_l
from tests.evals.stores import process, row

QUESTION = Prompt("q", "q", "What is 12", "57", rest="+45?")


def test_a_cut_is_at_a_token_and_never_beyond_the_percentage() -> None:
    offsets = [(0, 4), (4, 7), (7, 10), (10, 13), (13, 14)]  # 14 characters
    assert cut(offsets, begin=0, length=14, percent=80) == (3, 10)
    assert cut(offsets, begin=0, length=14, percent=60) == (2, 7)
    assert cut(offsets, begin=0, length=14, percent=20) == (0, 0)
    assert cut([(0, 14)], begin=0, length=14, percent=100) == (0, 0)  # nothing would be left to complete
    assert cut(offsets, begin=4, length=9, percent=50) == (2, 7)  # a question of 9 characters behind 4 others
    assert cut(offsets, begin=4, length=9, percent=20) == (0, 0)


def test_a_cut_does_not_split_a_character_of_several_tokens() -> None:
    offsets = [(0, 1), (1, 2), (1, 2), (2, 3), (3, 4)]
    assert cut(offsets, begin=0, length=4, percent=50) == (3, 2)
    assert cut([(0, 1), (0, 1), (1, 2)], begin=0, length=2, percent=50) == (2, 1)


def test_a_continuation_is_compared_as_far_as_the_question_goes() -> None:
    rest = "+45? Give a number."
    assert compare(" +45 ?  give a number. The answer is 57.", rest=rest) == (1.0, True)
    assert compare("+46? Give a number.", rest=rest) == (pytest.approx(6 / 7), False)
    assert compare("", rest=rest) == (0.0, False)
    assert compare("Nothing alike whatever here at all, ok", rest=rest).rouge_l == 0.0


def test_rouge_l_by_hand() -> None:
    # the longest common subsequence of a b c d and a x c d is a c d: precision 3/4, recall 3/4
    assert rouge_l(["a", "b", "c", "d"], ["a", "x", "c", "d"]) == pytest.approx(0.75)
    # police killed the gunman / police kill the gunman, and the gunman kill police (Lin 2004, section 3.1)
    reference = ["police", "killed", "the", "gunman"]
    assert rouge_l(["police", "kill", "the", "gunman"], reference) == pytest.approx(0.75)
    assert rouge_l(["the", "gunman", "kill", "police"], reference) == pytest.approx(0.5)
    assert rouge_l(["a"], ["a", "b", "c"]) == pytest.approx(0.5)  # precision 1, recall 1/3


@pytest.mark.parametrize(
    ("text", "gold", "found"),
    [
        ("so 57.", "57", True),
        ("157", "57", False),
        ("57.5", "57", False),
        ("2.57", "57", False),
        (r"is \frac{4}{3}!", r"\frac{4}{3}", True),
        (r"is \frac {4} {3}", r"\frac{4}{3}", True),
        ("minus -5", "-5", True),
        ("anything", "", False),
        ("so 142.", "142.0", True),
        ("142.5", "142.0", False),
        ("142.05", "142.0", False),
        ("is 70", "070", True),
        ("170", "070", False),
        ("is 070", "070", True),
        ("is 070", "70", False),
        ("000", "0", False),
        ("is 0", "0", True),
        ("1,234 or 1{,}235", "1234", True),
        ("1.50", "1.5", True),
        ("12", "1,2", False),
        ("-57", "-5", False),
        ("A quick B", r"\text{A}", False),
    ],
)
def test_whether_a_text_holds_an_answer(text: str, gold: str, found: bool) -> None:
    assert holds(text, gold) is found


def test_chance_is_the_next_other_answer() -> None:
    prompts = [
        QUESTION,
        Prompt("r", "r", "What is 1", "57", rest="+56?"),
        Prompt("s", "s", "What", "3", rest=" is 1+2?"),
    ]
    texts = ["57 or 3", "3", "57"]
    rows = [row(p, 0, None) | {"text": text} for p, text in zip(prompts, texts, strict=True)]
    scored = probe.scored(prompts, rows)
    assert [one["answer"] for one in scored] == [1.0, 0.0, 0.0]
    assert [one["other_answer"] for one in scored] == [1.0, 1.0, 1.0]


def test_the_verb_cuts_without_template_prefix_or_seed(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(lambda prompt, sample: prompt.gold))
    lines = [f"runs={tmp_path}", "eval=lab", "eval.benchmarks.add.count=5", "seed=0,1"]
    assert probe.main(["model=lab/olmo", *lines, "--percent", "60,40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["percent"], one["questions"]) for one in found] == [(40, 5), (60, 5)]
    assert all(one["answer"]["mean"] == 1.0 and one["correct"]["mean"] == 1.0 for one in found)
    assert all(one["exact"]["mean"] == 0.0 for one in found)
    folders = [path.name for path in (tmp_path / "_samples").iterdir()]
    assert len(folders) == 2 and all("-raw-" in name and "greedy" in name for name in folders)
    assert probe.main(["model=lab/olmo", *lines, "--percent", "40"]) == 0
    assert "add, lab/olmo: 5 questions" in capsys.readouterr().out


def value(text: str) -> Fraction:
    """The LaTeX of a calculation, worked out by Python's own precedence."""
    operand = re.compile(r"\\frac\{(\d+)\}\{(\d+)\}|(\d+)\^(\d)|(\d+)")

    def exact(match: re.Match[str]) -> str:
        above, below, base, power, whole = match.groups()
        return f"F({above}, {below})" if above else f"F({base}) ** {power}" if base else f"F({whole})"

    python = operand.sub(exact, text).replace(r"\times", "*").replace(r"\div", "/")
    return Fraction(eval(python, {"F": Fraction}))


def test_the_answers_of_made_calculations_are_exact() -> None:
    for one in random_calculation.rows(steps=range(1, 21), count=8, seed=3):
        shown = str(one["prompt"]).split("$")[1]
        gold = str(one["answer"])
        assert random_calculation.latex(value(shown)) == gold, shown
        operations = shown.count(" + ") + shown.count(" - ") + shown.count("times") + shown.count("div")
        assert operations == one["steps"]


def test_made_calculations_are_those_of_their_seed() -> None:
    few = random_calculation.rows(steps=[2], count=5, seed=0)
    assert few == random_calculation.rows(steps=[2], count=9, seed=0)[:5]
    other = random_calculation.rows(steps=[2], count=5, seed=1)
    assert {one["prompt"] for one in few}.isdisjoint(one["prompt"] for one in other)
    assert len({one["prompt"] for one in random_calculation.rows(steps=[1], count=300, seed=0)}) == 300


def test_the_made_file_is_data_for_a_cell(tmp_path: Path, capsys) -> None:
    path = tmp_path / "made.jsonl"
    assert probe.main(["make-benchmark", "--steps", "1-2", "--count", "8", "--out", str(path)]) == 0
    assert "16 problems of 1 to 2 steps" in capsys.readouterr().out
    assert probe.main(["make-benchmark", "--steps", "1-2", "--count", "8", "--out", str(path)]) == 0
    with pytest.raises(UserError, match="holds something else"):
        probe.main(["make-benchmark", "--steps", "3", "--out", str(path)])
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="holds something else"):
        probe.main(["make-benchmark", "--steps", "1", "--count", "1", "--out", str(binary)])
    with pytest.raises(UserError, match=r"is a folder; write --out .*\.jsonl"):
        probe.main(["make-benchmark", "--steps", "1", "--count", "1", "--out", str(tmp_path)])
    [composed] = compose(["data=jsonl", f"data.path={path}", "eval=none", f"runs={tmp_path}"])
    assert composed.hashes["data"]
