"""KOR-Bench's rows, from files of our own in its format: prompts, examples, gold answers, and every fault at once."""

import json
from pathlib import Path

import pytest

from rlvr_sweep.config.schema import Source
from rlvr_sweep.data.kor import choose, gold
from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError

RULES = [
    {"idx": "1", "title": "Double", "rule_content": "a ! b is twice a, plus b.", "tag": "easy"},
    {"idx": "2", "title": "Anagram", "rule_content": "Form a word of the letters."},
]
ASK = "\nWrap it like this: [[answer]]."
SAMPLES = [
    {"idx": "1", "question": f"What is 1 ! 2?{ASK}", "answer": "[[4]]", "rule_id": "1", "needle": ["x"]},
    {"idx": "2", "question": f"What is 2 ! 2?{ASK}", "answer": "[[6]]", "rule_id": "1"},
    {"idx": "3", "question": "TEA", "answer": "[[eat ate]]", "rule_id": "2", "real_life_answer": "[[B]]"},
]
EXAMPLES = [
    {"idx": str(n), "question": f"What is {n} ! 2?{ASK}", "answer": f"[[{2 * n + 2}]]", "rule_id": "1"}
    for n in (5, 1, 7)
] + [
    {"idx": str(n), "question": w, "answer": f"[[{a}]]", "rule_id": "2"}
    for n, w, a in ((8, "ON", "no"), (9, "WAS", "saw"))
]


def write(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("rule", RULES), ("sample", SAMPLES), ("three-shot", EXAMPLES)):
        write(tmp_path / "data" / "puzzle" / f"{name}.jsonl", rows)
    return tmp_path / "data"


def rows(path: Path, **more) -> list[Row]:
    source = {"kind": "kor", "task": "puzzle", "split": "test", "path": str(path)} | more
    return load(Source.model_validate(source), key="data").rows


def refusal(path: Path, **more) -> str:
    with pytest.raises(UserError) as caught:
        rows(path, **more)
    return str(caught.value)


def test_a_question_comes_with_its_rule(folder: Path) -> None:
    first, _, third = rows(folder)
    assert first.id == "kor-puzzle-1" and first.answer == "4"
    assert "a ! b is twice a, plus b." in first.prompt and first.prompt.endswith("like this: [[answer]].")
    columns = {"category": "puzzle", "rule_id": "1", "title": "Double", "question": SAMPLES[0]["question"]}
    assert first.columns == columns
    assert third.answer == "eat | ate" and third.columns["real_life_answer"] == "[[B]]"
    assert third.prompt.endswith("[[answer]].")  # a question that does not say how to answer is told


def test_three_examples_of_the_same_rule_and_never_the_question_itself(folder: Path) -> None:
    first, second, third = rows(folder, shots=2)
    assert first.prompt.count("Question:\n") == 3 and first.prompt.endswith("Answer:")
    assert "[[12]]" in first.prompt and "[[16]]" in first.prompt and "[[4]]" not in first.prompt
    assert "[[12]]" in second.prompt and "[[4]]" in second.prompt  # released examples in their order
    assert "[[no]]" in third.prompt and "[[16]]" not in third.prompt
    assert "write data.shots=2" in refusal(folder, shots=3)  # the second rule has two


def test_where_there_is_no_file_of_examples_the_rules_other_questions_serve(folder: Path) -> None:
    (folder / "puzzle" / "three-shot.jsonl").unlink()
    write(folder / "puzzle" / "sample.jsonl", SAMPLES[:2])
    first, second = rows(folder, shots=1)
    assert "[[6]]" in first.prompt and "[[4]]" in second.prompt
    assert "data.split=train: reads the file of examples" in refusal(folder, split="train")


def test_the_examples_are_training_questions(folder: Path) -> None:
    found = rows(folder, split="train")
    assert [row.id for row in found] == [f"kor-puzzle-example-{n}" for n in (5, 1, 7, 8, 9)]
    assert found[0].answer == "12"


def test_other_layouts(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for name, found in (("rule", RULES), ("sample", SAMPLES), ("three_shot", EXAMPLES)):
        write(flat / f"puzzle_{name}.jsonl", found)
    assert rows(flat, shots=2) == rows(folder, shots=2) == rows(folder / "puzzle", shots=2) == rows(tmp_path, shots=2)
    write(tmp_path / "own.jsonl", [{"rule": "Add one.", "question": f"{n}?", "answer": n + 1} for n in range(3)])
    first, *_ = rows(tmp_path / "own.jsonl", task="operation", shots=2)
    assert (first.id, first.answer) == ("kor-operation-1", "1")
    assert first.prompt.count("[[") == 3  # two examples and how to answer


def test_all_faults_come_at_once(folder: Path) -> None:
    broken = [
        "{",
        {"idx": "4", "question": "", "answer": "[[1]]", "rule_id": "1"},
        {"idx": "5", "question": "a?", "rule_id": "1"},
        {"idx": "6", "question": "a?", "answer": "[[1]]", "rule_id": "77"},
        {"idx": "1", "question": "b?", "answer": "[[1]]", "rule_id": "1"},
        "[1]",
    ]
    write(folder / "puzzle" / "sample.jsonl", SAMPLES + broken)
    text = refusal(folder)
    for fault in (
        "line 4: broken JSON",
        "line 5: question is missing",
        "line 6: answer is missing",
        "line 7: rule_id '77' is no rule's idx",
        "line 8: idx '1' comes twice",
        "line 9: is a list",
    ):
        assert fault in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task": "logik"}, "data.task: no category 'logik'; did you mean logic?"),
        ({"task": "cipher"}, "holds no cipher/sample.jsonl"),
        ({"split": "dev"}, "data.split=dev: there are the questions (test)"),
        ({"path": "/nowhere/kor"}, "no folder /nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line(folder: Path, wrong: dict, said: str) -> None:
    text = refusal(Path(wrong.pop("path", folder)), **wrong)
    assert said in text and "\n" not in text


def test_files_are_told_by_their_names() -> None:
    names = ["README.md", "data/logic/rule.jsonl", "data/logic/sample.jsonl", "data/logic/three-shot.jsonl"]
    names += ["data/logic/extra/sample.jsonl", "data/psychologic/sample.jsonl"]
    assert choose(names, "logic") == {
        "rule": "data/logic/rule.jsonl",
        "sample": "data/logic/sample.jsonl",
        "examples": "data/logic/three-shot.jsonl",
    }
    assert choose(names, "cipher") == {}


@pytest.mark.parametrize(
    ("answer", "title", "expected"),
    [
        ("[[24]]", None, "24"),
        ("[[A];[C]]", None, "[A];[C]"),
        ("[[[c]open]]", None, "[c]open"),
        ("C", None, "C"),
        ("[[s,ness]]", "Word Roots and Affixes", "s | ness"),
        ("[[tea eat]]", "Connect words", "{tea eat}"),
        ("[[(1+2)*8\n8*(2+1)]]", "24 points", "(1+2)*8"),
    ],
)
def test_gold_answers_are_written_so_that_their_form_is_plain(answer: str, title: str | None, expected: str) -> None:
    assert gold(answer, title) == expected
