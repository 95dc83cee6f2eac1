"""The table and the numbers of one cell, against its rows."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlvr_sweep.evals import rows, statistics
from rlvr_sweep.report.facts import facts
from rlvr_sweep.report.record import Record
from rlvr_sweep.report.table import ago, table
from rlvr_sweep.shown import as_json, interval, percent
from tests.report.cells import cell, write


def printed(path: Path, *, width: int = 80) -> str:
    """What a pipe gets."""
    record, out = Record(path), io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False)
    console.print(table(record, facts(record), figure=path / "figure.png"), crop=False)
    return out.getvalue()


def test_numbers_are_those_of_the_rows(tmp_path: Path) -> None:
    record = Record(cell(tmp_path, rollouts=20, updates=2))
    found = facts(record)
    one = found["benchmarks"]["add"]
    before, after = record.eval_rows("add", 0), record.eval_rows("add", 40)
    assert one["steps"] == {"before": 0, "after": 40}
    assert one["before"]["accuracy"] == statistics.accuracy(before)
    assert one["change"]["accuracy"] == statistics.paired_difference(before=before, after=after)
    assert one["change"]["code"].mean == pytest.approx(one["after"]["code"].mean - one["before"]["code"].mean)
    rewards = [row["reward"] for row in record.rollouts()]
    assert found["training"]["first"]["reward"] == pytest.approx(sum(rewards[:2]) / 2)
    assert found["training"]["last"]["reward"] == pytest.approx(sum(rewards[-2:]) / 2)
    assert found["training"]["last"]["label_accuracy"] is None
    seconds = found["seconds"]
    assert (seconds["generate"], seconds["update"]) == (pytest.approx(10.0), pytest.approx(8.0))
    assert (seconds["start-up"], seconds["total"]) == (5.0, 16.0)
    assert json.loads(as_json(found))["benchmarks"]["add"]["change"]["accuracy"]["n_questions"] == 40


def test_table_says_it_all_within_80_columns(tmp_path: Path) -> None:
    path = cell(tmp_path, benchmarks=("add", "math500"), deviations=("LoRA instead of full weights",))
    text = printed(path)
    one = facts(Record(path))["benchmarks"]["add"]
    for side in ("before", "after"):
        assert interval(one[side]["accuracy"]) in text
        assert interval(one[side]["code"]) in text
    assert interval(one["change"]["accuracy"], sign=True) in text
    for said in ("math500: 40 questions", "pass@2", "oracle = reward", "generate 5.0", "deviates: LoRA", path.name):
        assert said in text
    paths = [line for line in text.splitlines() if line.startswith(("picture: ", "record: "))]
    assert paths[0].endswith("/figure.png") and len(paths) == 2  # whole, however long
    assert max(len(line) for line in text.splitlines() if line not in paths) <= 80
    assert "\x1b" not in text and "…" not in text


def test_the_other_grader_has_a_line_only_where_it_differs(tmp_path: Path) -> None:
    path = cell(tmp_path)
    assert "authors' grader" not in printed(path)
    file = rows.path(path, "add", 20)
    found = rows.read(path, "add", 20)
    wrong = next(row for row in found if not row["correct"])
    rows.write(file, [row | {"correct_authors": row["correct"] or row is wrong} for row in found])
    text, one = printed(path), facts(Record(path))["benchmarks"]["add"]
    assert one["after"]["accuracy_authors"].mean == pytest.approx(one["after"]["accuracy"].mean + 1 / len(found))
    assert "authors' grader" in text and interval(one["change"]["accuracy_authors"], sign=True) in text
    assert max(map(len, text.split("picture: ")[0].splitlines())) <= 80
    rows.write(file, [row | {"correct_authors": None} for row in found])
    assert "authors' grader" not in printed(path)  # not recorded


def test_a_narrow_console_folds_and_loses_nothing(tmp_path: Path) -> None:
    path = cell(tmp_path)
    narrow, wide = printed(path, width=50), printed(path, width=200)
    rest = [line for line in narrow.splitlines() if not line.startswith(("picture: ", "record: "))]
    assert max(map(len, rest)) <= 50
    squeezed = sorted("".join(narrow.split()))
    assert squeezed == sorted("".join(wide.split()))


def test_a_cell_that_has_not_begun(tmp_path: Path) -> None:
    path = cell(tmp_path, state="pending", trained=0, benchmarks=())
    text = printed(path)
    assert "pending, 0 of 20 updates" in text and "no benchmark" in text and "none yet" in text


def test_a_cell_in_progress_has_no_after(tmp_path: Path) -> None:
    path = cell(tmp_path, state="running", trained=2, every=0)
    text = printed(path)
    assert "update 0" in text and "after" not in text and "last sign of life" in text


def test_evaluated_only_at_the_end(tmp_path: Path) -> None:
    path = cell(tmp_path)
    for step in (0, 10):
        (path / "evals" / "add" / f"step-{step:06d}.parquet").unlink()
    text = printed(path)
    assert "update 20" in text and "before" not in text and "change" not in text


def test_failure_and_overlap_are_said(tmp_path: Path) -> None:
    path = cell(tmp_path, state="failed", trained=1, reason="RuntimeError: boom")
    overlap: dict[str, Any] = {"prompts": 500, "exact": 2, "near": 3, "ngram": 9, "examples": [{}]}
    none = {"prompts": 30, "exact": 0, "near": 0, "ngram": 0, "examples": []}
    write(path / "data.json", {"data": {"rows": 4, "overlap": {"math500": overlap, "aime24": none}}})
    text = printed(path)
    assert "failed (RuntimeError: boom)" in text
    assert "math500's 500 prompts 2 (exact), 3 (near), 9 (ngram)" in text and "aime24" not in text


def test_what_was_left_out_and_how_good_labels_are_is_said(tmp_path: Path) -> None:
    path = cell(tmp_path)
    audit = {"label_accuracy": 0.25, "correct": 10, "wrong": 30, "labelled": 37, "empties": 3, "kept": 30}
    (path / "data.json").write_text(json.dumps({"data": {"rows": 50, "kept": 30, "too_long": 7, "labels": audit}}))
    text = printed(path)
    assert "7 of 50 prompts are longer than" in text
    assert "labels: 25% of 40 are right, 3 empty; 30 rows kept" in text


def test_missing_is_a_dash_not_a_zero() -> None:
    assert (percent(None), interval(None)) == ("-", "-")
    assert (percent(0.418), percent(1.0), percent(-0.03, sign=True), percent(0.0, sign=True)) == (
        "41.8",
        "100",
        "-3.0",
        "+0.0",
    )


def test_ago() -> None:
    assert [ago(s) for s in (-1, 59, 130, 7200, 90000, 200000)] == ["0 s", "59 s", "2 min", "2 h", "25 h", "2 days"]
