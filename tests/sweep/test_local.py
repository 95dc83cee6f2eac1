"""Cells run in processes of their own: what is done is not run again, a failure is one line, nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.sweep.state import read
from rlvr_sweep.sweep.view import Tail
from tests.conftest import TINY


def only_cell(runs: Path) -> CellDir:
    [path] = [p for p in runs.iterdir() if "--" in p.name]
    return CellDir(path)


def test_a_cell_runs_to_its_end_and_is_not_run_twice(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    assert main([*TINY, f"runs={runs}"]) == 0
    directory = only_cell(runs)
    status = directory.read_status()
    assert (status["state"], status["step"]) == ("done", 8)
    done = json.loads((directory.path / "DONE").read_text())
    assert {"metrics.jsonl", "model/model.safetensors"} <= set(done)
    assert "accuracy" in capfd.readouterr().out
    before = (directory.path / "DONE").stat().st_mtime_ns
    assert main([*TINY, f"runs={runs}"]) == 0
    assert (directory.path / "DONE").stat().st_mtime_ns == before
    assert "done already" in capfd.readouterr().out


def test_a_fault_the_worker_finds_is_one_line_and_exit_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"id": str(i), "prompt": f"What is {i}+1?", "answer": str(i + 1)} for i in range(16)]
    rows[3]["answer"] = r"\frac{1}{"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [line for line in TINY if not line.startswith("data.")]
    assert main([*lines, "data=jsonl", f"data.path={file}", f"runs={tmp_path / 'runs'}"]) == 2
    out = capfd.readouterr().out
    assert "1 of 16 gold answers cannot be parsed: 3: " in out
    assert "Traceback" not in out
    assert only_cell(tmp_path / "runs").read_status()["state"] == "failed"


def test_a_cell_that_crashes_leaves_its_reason_and_its_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    # A directory where the record wants a file: what an odd file system might do to a run.
    directory = CellDir.create(compose_or_refuse([*TINY, f"runs={runs}"], multirun=False)[0])
    (directory.path / "metrics.jsonl").mkdir()
    assert main([*TINY, f"runs={runs}"]) == 1
    status = directory.read_status()
    assert status["state"] == "failed"
    assert "IsADirectoryError" in status["reason"]
    assert "Traceback" in (directory.path / "attempts" / "1" / "log.txt").read_text()
    assert "log.txt" in capfd.readouterr().out


def start(runs: Path, out: IO[str] | None = None) -> subprocess.Popen:
    code = "import sys; from rlvr_sweep.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", f"import signal; signal.signal(2, signal.default_int_handler); {code}"]
    lines = [*TINY, "algo.rollouts=40", f"runs={runs}"]
    return subprocess.Popen([*command, *lines], start_new_session=True, stdout=out)


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def steps(runs: Path) -> int:
    return sum(len(p.read_text().splitlines()) for p in runs.glob("*/metrics.jsonl"))


def workers_of(runs: Path) -> list[str]:
    """Command lines of live processes that mention this runs folder, or write to a file in it (a forked worker)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                output = os.readlink(entry / "fd" / "1")
            except OSError:
                continue  # it has ended
            if str(runs) in command or str(runs) in output:
                found.append(command)
    return found


def test_ctrl_c_writes_a_checkpoint_and_the_next_start_goes_on(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = start(runs)
    wait_for(lambda: steps(runs) >= 3)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 75
    directory = only_cell(runs)
    assert directory.read_status()["state"] == "preempted"
    assert list((directory.path / "checkpoints").glob("*/COMPLETE"))
    assert workers_of(runs) == []


def test_ctrl_c_twice_kills(tmp_path: Path) -> None:
    runs, said = tmp_path / "runs", tmp_path / "said"
    with said.open("w") as out:
        process = start(runs, out)
    wait_for(lambda: steps(runs) >= 1)
    worker = only_cell(runs).read_status()["pid"]
    os.kill(worker, signal.SIGSTOP)  # a worker that does not answer
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "Ctrl-C again kills" in said.read_text())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 75
    assert only_cell(runs).read_status()["state"] == "preempted"
    assert workers_of(runs) == []


def test_sigterm_to_the_entry_reaches_the_worker(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = start(runs)
    wait_for(lambda: steps(runs) >= 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert only_cell(runs).read_status()["state"] == "preempted"
    assert workers_of(runs) == []


def test_a_cell_that_is_being_run_is_not_run_twice(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    directory = CellDir.create(compose_or_refuse([*TINY, f"runs={runs}"], multirun=False)[0])
    directory.status(state="running", attempt=7)
    with directory.lock():
        assert main([*TINY, f"runs={runs}"]) == 3
        command = [sys.executable, "-m", "rlvr_sweep.train.worker", str(directory.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "is being run by process" in done.stderr
    assert "is being run by process" in capfd.readouterr().out
    assert directory.read_status()["attempt"] == 7  # whoever runs it is left alone
    assert not (directory.path / "attempts").exists()


def start_grid(runs: Path, *lines: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "rlvr_sweep", "-m", *TINY, "compute=cpu", "sweep.stagger_s=0.2", f"runs={runs}"]
    return subprocess.Popen([*command, *lines], start_new_session=True, stdout=subprocess.PIPE, text=True)


def states_in(runs: Path) -> list[str]:
    return [read(p).state for p in sorted(runs.glob("*--*"))]


def test_a_cell_that_fails_stops_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [*TINY, "compute=cpu", f"runs={tmp_path}"]
    broken = CellDir.create(compose_or_refuse([*lines, "seed=0"], multirun=False)[0])
    (broken.path / "metrics.jsonl").mkdir()
    assert main(["-m", *lines, "seed=0,1,2", "sweep.slots=2"]) == 1
    assert states_in(tmp_path) == ["failed", "done", "done"]
    out = capfd.readouterr().out
    assert f"{broken.path.name}: failed: IsADirectoryError" in out
    assert out.count("[3/3] start") == 1
    assert main(["-m", *lines, "seed=0,1,2"]) == 0  # a failed cell waits for `retry`
    assert "1 failed before" in capfd.readouterr().out
    (broken.path / "metrics.jsonl").rmdir()
    assert main(["retry", broken.cell_id, "--runs", str(tmp_path)]) == 0
    assert states_in(tmp_path) == ["done"] * 3


def test_two_sweeps_at_once_run_no_cell_twice(tmp_path: Path) -> None:
    both = [start_grid(tmp_path, "seed=0,1,2", "sweep.slots=1") for _ in range(2)]
    for process in both:
        process.communicate(timeout=600)
    assert states_in(tmp_path) == ["done"] * 3
    for path in tmp_path.glob("*--*"):
        assert len(list(path.glob("attempts/*/env.json"))) == 1  # written under the lock


def test_a_killed_sweep_leaves_no_process_and_loses_nothing(tmp_path: Path) -> None:
    process = start_grid(tmp_path, "seed=0,1", "algo.rollouts=200", "sweep.slots=2")
    wait_for(lambda: sum(len(p.read_text().splitlines()) >= 3 for p in tmp_path.glob("*/metrics.jsonl")) == 2)
    process.kill()
    wait_for(lambda: workers_of(tmp_path) == [], 60)
    assert states_in(tmp_path) == ["preempted"] * 2
    assert len(list(tmp_path.glob("*/checkpoints/*/COMPLETE"))) == 2


def test_ctrl_c_reaches_all_cells_and_starts_no_more(tmp_path: Path) -> None:
    process = start_grid(tmp_path, "seed=0,1,2", "algo.rollouts=200", "sweep.slots=2")
    wait_for(lambda: sum(len(p.read_text().splitlines()) >= 1 for p in tmp_path.glob("*/metrics.jsonl")) == 2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 75
    assert sorted(states_in(tmp_path)) == ["pending", "preempted", "preempted"]
    assert out.count("stopping after this update") == 1
    assert workers_of(tmp_path) == []


def test_a_worker_killed_from_outside_is_taken_again(tmp_path: Path) -> None:
    process = start_grid(tmp_path, "seed=0", "algo.rollouts=20")
    wait_for(lambda: steps(tmp_path) >= 3)
    os.kill(only_cell(tmp_path).read_status()["pid"], signal.SIGKILL)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "ended from outside by SIGKILL" in out
    assert states_in(tmp_path) == ["preempted"]
    again = start_grid(tmp_path, "seed=0", "algo.rollouts=20")
    again.communicate(timeout=600)
    assert again.returncode == 0
    assert states_in(tmp_path) == ["done"]


def test_how_a_cell_runs_may_change_between_attempts(tmp_path: Path) -> None:
    lines = [*TINY, f"runs={tmp_path / 'runs'}"]
    first = CellDir.create(compose_or_refuse(lines, multirun=False)[0])
    [again] = compose_or_refuse([*lines, "compute.micro_batch=2", "compute.threads=2"], multirun=False)
    second = CellDir.create(again)
    assert second.path == first.path
    with second.lock():
        second.update(again)
    compute = CellDir(first.path).cell.compute
    assert (compute.micro_batch, compute.threads) == (2, 2)


def test_a_file_that_changed_after_composing_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = "".join(f'{{"id": "{i}", "prompt": "What is {i}+1?", "answer": "{i + 1}"}}\n' for i in range(16))
    file.write_text(rows)
    lines = [line for line in TINY if not line.startswith("data.")]
    lines += ["data=jsonl", f"data.path={file}", f"runs={tmp_path / 'runs'}"]
    directory = CellDir.create(compose_or_refuse(lines, multirun=False)[0])
    file.write_text(rows.replace('"answer": "3"', '"answer": "4"'))
    command = [sys.executable, "-m", "rlvr_sweep.train.worker", str(directory.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "data: changed since this cell was composed" in done.stderr


def test_a_progress_bar_survives_a_record_that_is_cut_back(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n')
    tail = Tail(file)
    assert [row["step"] for row in tail.read()] == [1, 2]
    file.write_text('{"step": 1}\n')
    assert [row["step"] for row in tail.read()] == [1]
    file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [row["step"] for row in tail.read()] == [2]
