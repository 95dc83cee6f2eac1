"""What a cell trains on and is evaluated on: filtered with a count, or refused with one line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.rules import arm
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train.problems import Problems, prepare


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(1) as one:
        yield one


def problems(grader: Grader, *lines: str, context: int = 256) -> Problems:
    cell = compose_or_refuse(list(lines), multirun=False)[0].cell
    tokenizer = AutoTokenizer.from_pretrained(model_dir("qwen_math"), padding_side="left")
    return prepare(cell, tokenizer=tokenizer, context=context, grader=grader, batch=arm(cell))


def rows(path: Path, *prompts: str, answer: str = "2") -> Path:
    lines = [json.dumps({"id": str(i), "prompt": p, "answer": answer}) for i, p in enumerate(prompts)]
    path.write_text("\n".join(lines))
    return path


def test_every_visit_of_the_run_is_there_in_order(grader: Grader) -> None:
    found = problems(grader, "data.count=20", "algo.rollouts=3")
    assert len(found.visits) == 3 * 16
    assert len({v["row_id"] for v in found.visits}) == 48
    assert found.facts["data"]["rows"] == 20


def test_long_training_prompts_are_left_out_and_counted(grader: Grader, tmp_path: Path) -> None:
    prompts = ["What is 1+1?"] * 16 + ["What is 1+1? " * 30] * 3
    file = rows(tmp_path / "rows.jsonl", *[f"{p} ({i})" for i, p in enumerate(prompts)])
    found = problems(grader, "data=jsonl", f"data.path={file}", "algo.rollouts=1")
    assert (found.facts["data"]["kept"], found.facts["data"]["too_long"]) == (16, 3)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [(20, "eval.benchmarks.math500.max_completion_tokens="), (90, "leave the benchmark out")],
)
def test_a_benchmark_is_evaluated_whole_or_not_at_all(words: int, remedy: str, grader: Grader, tmp_path: Path) -> None:
    file = rows(tmp_path / "test.jsonl", "What is 1+1?", "What is 1+1? " * words)
    lines = ["eval=math500", f"eval.path={file}", "eval.benchmarks.math500.max_completion_tokens=192"]
    with pytest.raises(UserError, match="its longest prompt has") as caught:
        problems(grader, *lines)
    assert remedy in str(caught.value)


def test_an_unreadable_gold_answer_of_a_benchmark_is_found_before_training(grader: Grader, tmp_path: Path) -> None:
    file = rows(tmp_path / "test.jsonl", "What is 1+1?", answer=r"\frac{1}{")
    lines = ["eval=math500", f"eval.path={file}", "eval.benchmarks.math500.max_completion_tokens=null"]
    with pytest.raises(UserError, match=r"eval.benchmarks.math500: 1 of 1 gold answers cannot be parsed"):
        problems(grader, *lines)


def test_training_on_a_benchmark_is_reported_or_refused(grader: Grader, tmp_path: Path) -> None:
    file = rows(tmp_path / "rows.jsonl", *[f"What is {i}+1?" for i in range(16)])
    lines = ["data=jsonl", f"data.path={file}", "eval=math500", f"eval.path={file}", "algo.rollouts=1"]
    lines += ["eval.benchmarks.math500.max_completion_tokens=null"]
    assert problems(grader, *lines).facts["data"]["overlap"]["math500"]["exact"] == 16
    with pytest.raises(UserError, match=r"data\.overlap=report"):
        problems(grader, *lines, "data.overlap=refuse")


def test_the_incorrect_subset(grader: Grader, tmp_path: Path) -> None:
    file = rows(tmp_path / "rows.jsonl", *[f"What is {i}+1?" for i in range(32)])
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps({"id": str(i), "label": "2" if i < 16 else "3"}) + "\n" for i in range(32)))
    lines = ["data=jsonl", f"data.path={file}", "reward=incorrect", f"data.labels={labels}", "algo.rollouts=1"]
    found = problems(grader, *lines)
    assert {v["label"] for v in found.visits} == {"3"}
    assert found.facts["data"]["labels"]["label_accuracy"] == 0.5


def test_labels_that_turn_out_to_be_of_other_data_say_what_makes_the_right_ones(grader: Grader, tmp_path: Path) -> None:
    """Rows of the Hub are read here first."""
    cell = compose_or_refuse([], multirun=False)[0].cell
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"id": "add-36-51", "prompt": "another question", "answer": "1"}\n')
    cell = cell.model_copy(update={"data": cell.data.model_copy(update={"labels": str(labels)})})
    with pytest.raises(
        UserError, match=r"made for other data.*; write data.labels=.*, made by: python -m rlvr_sweep label"
    ):
        prepare(cell, tokenizer=None, context=256, grader=grader, batch=arm(cell))


def test_empty_labels_are_trained_on_only_where_they_are_to_be_kept(grader: Grader, tmp_path: Path) -> None:
    file = rows(tmp_path / "rows.jsonl", *[f"What is {i}+1?" for i in range(32)])
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps({"id": str(i), "label": "" if i < 8 else "3"}) + "\n" for i in range(32)))
    lines = ["data=jsonl", f"data.path={file}", "reward=incorrect", f"data.labels={labels}", "algo.rollouts=2"]
    assert {v["label"] for v in problems(grader, *lines).visits} == {"3"}
    assert {v["label"] for v in problems(grader, *lines, "data.empty_labels=keep").visits} == {"", "3"}
