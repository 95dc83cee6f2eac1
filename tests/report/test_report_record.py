"""Reading cells while they run and after they broke."""

import json
from pathlib import Path

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.report.record import Record
from tests.report.cells import cell, write


def test_reads_what_the_trainer_writes(tmp_path: Path) -> None:
    record = Record(cell(tmp_path, rollouts=4, updates=2, every=2, seed=3))
    assert [row["step"] for row in record.metrics] == list(range(1, 9))
    assert [row["rollout"] for row in record.rollouts()] == [1, 2, 3, 4]
    assert record.benchmarks() == ["add"] and record.eval_steps("add") == [0, 4, 8]
    assert len(record.eval_rows("add", 8)) == 80 and record.eval_rows("add", 8)[0]["seed"] == 3
    assert record.rollout_rows()[0]["rollout"] == 4
    assert (record.state, record.seed, record.reason) == ("done", 3, None)


def test_a_running_cell_may_lack_anything_and_end_in_half_a_line(tmp_path: Path) -> None:
    path = cell(tmp_path, state="running", trained=2, rollouts=4)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "rollo')
    assert [row["step"] for row in Record(path).metrics] == [1, 2, 3, 4]
    for name in ("metrics.jsonl", "timings.jsonl", "status.json"):
        (path / name).unlink()
    bare = Record(path)
    assert (bare.metrics, bare.timings, bare.state, bare.log_tail()) == ([], [], "pending", [])


def test_done_is_what_DONE_says(tmp_path: Path) -> None:
    path = cell(tmp_path)
    (path / "DONE").unlink()
    assert Record(path).state == "running"  # status.json says done, but the artefacts are not all there


def test_a_done_cell_that_lost_a_file_of_its_numbers_is_no_record(tmp_path: Path) -> None:
    path = cell(tmp_path)
    [first, *_] = sorted(path.glob("evals/*/step-*.parquet"))
    names = [str(first.relative_to(path)), "model/model.safetensors", "rollouts/part-00001.parquet"]
    (path / "DONE").write_text(json.dumps(dict.fromkeys(names, "")))
    assert Record(path).is_done  # weights and completions may go: they are large
    first.unlink()
    with pytest.raises(UserError, match=rf"{first.name}: missing, and the cell is done; move the directory away"):
        Record(path)


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = cell(tmp_path)
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join([*lines[:2], "{oops\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 3"):
        _ = Record(path).metrics


def test_no_cell_and_another_version_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cell"):
        Record(tmp_path)
    path = cell(tmp_path)
    document = json.loads((path / "cell.json").read_text())
    for broken, message in (({**document, "format": 2}, "format 2, this version reads 1"), ([], "format None")):
        write(path / "cell.json", broken)
        with pytest.raises(UserError, match=message) as caught:
            Record(path)
        assert "\n" not in str(caught.value)
    (path / "cell.json").write_text('{"format": 1,')
    with pytest.raises(UserError, match="broken JSON"):
        Record(path)


def test_the_log_of_the_newest_attempt(tmp_path: Path) -> None:
    path = cell(tmp_path, state="failed", reason="RuntimeError: boom\nsecond line", log="one\n")
    (path / "attempts" / "10").mkdir()
    (path / "attempts" / "10" / "log.txt").write_text("a\n\n50%\r100%\nRuntimeError: boom\n")
    record = Record(path)
    assert record.log_tail(2) == ["100%", "RuntimeError: boom"]
    assert record.reason == "RuntimeError: boom"
