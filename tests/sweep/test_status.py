"""The verb `status`: a thousand cells at a glance, the ones in trouble in full, and nothing that makes it stumble."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.sweep import status as module
from rlvr_sweep.sweep.listing import duration
from rlvr_sweep.sweep.progress import seconds_per_step
from tests.report.cells import cell, write

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(state: str = "done", *, runs: Path = Path("runs"), **settings: Any) -> Path:
    """A cell's directory without evaluations."""
    return cell(runs, state=state, benchmarks=(), **settings)


def status(capsys: Capture, *argv: str) -> str:
    assert main(["status", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(capsys: Capture, *argv: str) -> dict[str, Any]:
    return json.loads(status(capsys, "--json", *argv))


def sweep(name: str, *ids: str) -> None:
    folder = Path("runs/_sweeps") / name
    folder.mkdir(parents=True)
    (folder / "manifest.jsonl").write_text("".join(json.dumps({"cell_id": i}) + "\n" for i in ids))


def test_how_far_a_running_cell_is(capsys: Capture) -> None:
    path = made("running", trained=4, rollouts=10, updates=2)
    with CellDir(path).lock():
        [row] = as_json(capsys)["cells"]
        line = next(line for line in status(capsys).splitlines() if line.startswith("running"))
    last = json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])
    assert (row["state"], row["step"], row["steps"], row["seconds_per_step"]) == ("running", 8, 20, 0.75)
    assert row["seconds_left"] == pytest.approx(12 * 0.75)
    assert (row["reward"], row["accuracy"]) == (last["reward"], last["accuracy/ground_truth"])
    assert re.search(r"8/20 +0\.75 +9 s +0\.\d\d +0\.\d\d$", line)


def test_times_do_not_hang_on_the_clocks_of_hosts(capsys: Capture) -> None:
    path = made("running", trained=4)
    rows = []
    for skew in (-60, 0, 60):
        write(path / "status.json", {"state": "running", "attempt": 1, "started": time.time() + skew, "updated": 1.0})
        with CellDir(path).lock():
            rows.append(as_json(capsys)["cells"][0]["seconds_left"])
    assert len(set(rows)) == 1 and rows[0] > 0


def test_a_step_is_the_share_of_a_whole_rollout() -> None:
    slow_first = [{"rollout": r, "seconds/step": 9.0 if u == 0 else 1.0} for r in (1, 2, 3) for u in range(4)]
    assert seconds_per_step(slow_first, updates=4) == 3.0
    assert seconds_per_step(slow_first[2:9], updates=4) == 3.0  # halves at both ends say nothing
    assert seconds_per_step(slow_first[:2], updates=4) == 5.0  # nothing better yet
    assert seconds_per_step([None, {"rollout": 1}], updates=4) is None


def test_a_failure_is_told_with_the_end_of_its_log(capsys: Capture) -> None:
    path = made("failed", trained=2, reason="OutOfMemoryError: CUDA\nmore", log="step 1\nstep 2\n[red]a\x1b[2Jb\n\n")
    out = status(capsys)
    assert "1 cell: 1 failed" in out and "OutOfMemoryError: CUDA\n" in out and "more" not in out
    assert f"log: {path}/attempts/1/log.txt" in out and "  [red]ab\n" in out
    [row] = as_json(capsys)["cells"]
    assert (row["reason"], row["last_line"]) == ("OutOfMemoryError: CUDA", "[red]ab")


def test_the_summary_comes_first_and_what_is_done_is_only_counted(capsys: Capture) -> None:
    for seed in range(module.SHORT):
        made("done", seed=seed, trained=0, rollouts=0)
    failed = made("failed", seed=98, trained=0, reason="boom")
    stopped = made("preempted", seed=99, trained=0, reason="asked to stop")
    lines = status(capsys).splitlines()
    assert lines[0] == "32 cells: 1 failed, 1 preempted, 30 done"
    named = [line.split()[:2] for line in lines if line.startswith(("failed", "preempted", "done"))]
    assert named == [["failed", failed.name], ["preempted", stopped.name]]
    assert "30 cells that are neither running nor in trouble are not named (--all names them)" in lines
    assert status(capsys, "--all").count("done  ") == 30


def test_a_sweep_counts_also_what_has_no_directory(capsys: Capture) -> None:
    one, _ = made(seed=0), made(seed=1)
    sweep("pilot", one.name.rpartition("--")[2], "f" * 12)
    found = as_json(capsys, "pilot")
    assert found["counts"] == {"new": 1, "done": 1}
    assert {c["cell_id"]: c["state"] for c in found["cells"]}["f" * 12] == "new"
    assert as_json(capsys, str(one))["counts"] == {"done": 1}
    assert as_json(capsys)["counts"] == {"done": 2}


@pytest.mark.parametrize("folder", [None, "runs"])
def test_nothing_there_is_one_line(capsys: Capture, folder: str | None) -> None:
    if folder:
        Path(folder).mkdir()
    out = status(capsys)
    assert out == "no cell in runs yet; run one with: python -m rlvr_sweep, or write --runs DIR\n"
    assert as_json(capsys) == {"counts": {}, "cells": [], "faults": []}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--runs", "elsewhere"], "--runs elsewhere: no such folder"),
        (["pilott"], "pilott: no such cell or sweep in runs; the nearest: "),
        (["--watch", "--json"], "write one of them"),
        (["--watch", "0"], "write seconds, 0.1 or more"),
    ],
)
def test_a_mistake_is_one_line(argv: list[str], said: str, capsys: Capture) -> None:
    made(trained=0)
    assert main(["status", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1


def test_damage_is_named_and_the_rest_is_shown(capsys: Capture) -> None:
    whole = made("failed", seed=0, trained=1, reason="boom")
    broken_status = made("preempted", seed=1, trained=1)
    (broken_status / "status.json").write_text('{"state": "pre')
    other_version = made(seed=2, trained=1)
    write(other_version / "cell.json", {"format": 99})
    torn = made("done", seed=3)
    text = (torn / "metrics.jsonl").read_text()
    (torn / "metrics.jsonl").write_text(text[:-40])
    broken_line = made("preempted", seed=4, trained=3)
    with (broken_line / "metrics.jsonl").open("a") as file:
        file.write("{oops\n")
    shorter = made("done", seed=5)
    (shorter / "metrics.jsonl").write_text("".join(text.splitlines(keepends=True)[:7]))
    no_text = made("done", seed=7, trained=1)
    (no_text / "cell.json").write_bytes(b"\xff{")
    unreadable = made("done", seed=6)
    (unreadable / "status.json").unlink()
    (unreadable / "status.json").mkdir()
    found = as_json(capsys)
    by_name = {row["name"]: row for row in found["cells"]}
    assert set(by_name) == {p.name for p in (whole, broken_status, torn, broken_line, shorter)}
    assert by_name[broken_status.name]["reason"] == "status.json is damaged"
    assert by_name[broken_line.name]["step"] == 6  # the last row that can be read
    said = [
        (broken_status, "status.json: damaged; the next start of the cell sets it aside"),
        (other_version, "written in directory format 99, this version reads 1"),
        (no_text, "cell.json: broken JSON"),
        (torn, "metrics.jsonl: ends in the middle of a line, and the cell is done"),
        (broken_line, "metrics.jsonl: its last lines are damaged"),
        (shorter, "metrics.jsonl: ends at step 7 of 20, and the cell is done"),
        (unreadable, "status.json: cannot be read (Is a directory)"),
    ]
    assert len(found["faults"]) == len(said)
    for path, text in said:
        assert [fault for fault in found["faults"] if path.name in fault and text in fault], text
    out = status(capsys)
    assert "boom" in out and out.count("rlvr_sweep: ") == len(said)


def test_odd_values_are_unknown(capsys: Capture) -> None:
    path = made("failed", trained=0)
    odd = '{"state": "failed", "attempt": "one", "step": "x", "failures": null, "started": 1e999, "reason": {"a": 1}}'
    (path / "status.json").write_text(odd)
    (path / "metrics.jsonl").write_text('{"step": 3, "reward": NaN, "accuracy/ground_truth": "high"}\n')
    (path / "timings.jsonl").write_text("[1]\n")
    [row] = as_json(capsys)["cells"]
    assert (row["step"], row["attempt"], row["failures"], row["started"]) == (3, None, 0, None)
    assert (row["reward"], row["accuracy"], row["seconds_per_step"]) == (None, None, None)
    assert "3/20" in status(capsys)


def test_half_a_line_is_no_damage_while_the_cell_is_not_done(capsys: Capture) -> None:
    path = made("preempted", trained=3)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "rew')
    found = as_json(capsys)
    assert found["faults"] == [] and found["cells"][0]["step"] == 6


def test_only_the_ends_of_files_are_read(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlvr_sweep.sweep.progress.TAIL", 1000)
    path = made("preempted", trained=5)
    for name in ("metrics.jsonl", "timings.jsonl"):
        rows = (path / name).read_bytes()
        (path / name).write_bytes(b"\xff" * 5000 + rows[1:])
    [row] = as_json(capsys)["cells"]
    assert (row["step"], row["seconds_per_step"]) == (10, 0.75)


def done_at_the_first_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: (path / "DONE").write_text("{}"))


def test_watching_ends_when_all_is_over(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    made("failed", seed=1, trained=0)
    path = made("running", seed=0, trained=2)
    done_at_the_first_wait(path, monkeypatch)
    with CellDir(path).lock():
        assert main(["status", "--watch", "0.1"]) == 0
    assert capsys.readouterr().out.splitlines() == ["2 cells: 1 running, 1 failed", "2 cells: 1 failed, 1 done"]


def test_watching_redraws_on_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    path = made("running", trained=2)
    done_at_the_first_wait(path, monkeypatch)
    with CellDir(path).lock():
        assert main(["status", "--watch", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "1 running" in out and "1 done" in out and "\x1b[1A" in out


def test_ctrl_c_ends_watching(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    path = made("preempted", trained=2)
    monkeypatch.setattr(module.time, "sleep", interrupt)
    assert main(["status", "--watch", path.name]) == 0  # what follows --watch is a cell if it is no number
    assert "1 preempted" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 200])
def test_names_stay_whole_whatever_the_width(capsys: Capture, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    path = made("preempted", trained=3, reason="asked to stop")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in status(capsys).splitlines()]
    assert any(path.name in line for line in lines) and all(len(line) <= width for line in lines)
    assert any("asked to stop" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7200, "2.0 h"), (864000, "10.0 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_status_is_light() -> None:
    made("failed", trained=2, log="boom\n")
    heavy = "{'torch', 'pydantic', 'hydra', 'omegaconf', 'numpy', 'pyarrow', 'yaml'}"
    code = (
        "import sys; from rlvr_sweep.__main__ import main; main(sys.argv[1:])\n"
        f"print('heavy:', sorted({{m.split('.')[0] for m in sys.modules}} & {heavy}))"
    )
    for argv in (["status"], ["status", "--json"], ["logs", "lab-qwen"]):
        done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "heavy: []", argv
