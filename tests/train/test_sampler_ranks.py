"""Several sampling processes over one model: the same rows as one makes, and what is left when one dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.jobs import benchmark_job, compose, sample
from rlvr_sweep.evals.store import Share, Store
from rlvr_sweep.labels.commands import label_job
from rlvr_sweep.train import sampler, sampler_ranks
from rlvr_sweep.train.sampler_ranks import read_word, spread

LINES = ["model=lab/olmo", "eval.benchmarks.add.count=6", "eval.batch=4", "data.count=4", "grading.workers=1"]
TWO = "compute.ranks=2"
START = subprocess.Popen


def composed(tmp_path: Path, *lines: str) -> Any:
    [one] = compose([*LINES, f"runs={tmp_path}", "compute.device=cpu", *lines])
    return one


def two_jobs(tmp_path: Path, *lines: str) -> list[Job]:
    cell = composed(tmp_path, *lines)
    return [benchmark_job(cell, "add", samples=3, temperature=1.0), label_job(cell, samples=2, temperature=1.0)]


def test_a_word_is_a_store_and_perhaps_a_share_of_it(tmp_path: Path) -> None:
    [job, _] = two_jobs(tmp_path)
    path = Store.create(job).path
    store, samples = read_word(f"64:{path}")
    assert (store.path, store.share, samples) == (path, None, 64)
    store, samples = read_word(f"64@1/4/12:{path}")
    assert (store.path, store.share, samples) == (path, Share(1, 4, 12), 64)


@pytest.mark.slow  # starts three interpreters with torch
def test_two_processes_make_the_rows_of_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jobs = two_jobs(tmp_path / "one")
    alone = [Store.create(job) for job in jobs]
    assert sampler._sample([(store, job.benchmark.samples) for store, job in zip(alone, jobs, strict=True)]) == 0
    together, code = sample(two_jobs(tmp_path / "two", TWO))
    assert code == 0
    for of_one, of_two in zip(alone, together.values(), strict=True):
        assert of_one.rows() == of_two.rows() and of_two.rows()
        assert {int(part.stem[5:]) % 2 for part in of_two.parts()} == {0, 1}  # both have added parts
    said = capfd.readouterr().err
    assert ", process 1 of 2" in said and ", process 2 of 2" not in said
    assert not list(tmp_path.rglob("process-*.log"))


class Mortal:
    """Starts, in the place of sampling processes, shells that end as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: str) -> None:
        self.started: list[dict[str, Any]] = []

        def popen(command: list[str], **options: Any) -> Any:
            end = ends[len(self.started)]
            self.started.append({"command": command, **options})
            return START(["bash", "-c", end], **options)

        monkeypatch.setattr(sampler_ranks.subprocess, "Popen", popen)


def test_one_that_dies_is_named_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(two_jobs(tmp_path, TWO)[0])
    shells = Mortal(monkeypatch, "true", "kill -9 $$")
    assert spread([(store, 3)]) == 1
    assert [one["command"][-1] for one in shells.started] == [f"3@{i}/2/0:{store.path}" for i in range(2)]
    assert capsys.readouterr().err == (
        "rlvr_sweep: process 2 of 2 was ended by SIGKILL (out of memory?); the same command samples what it did not; "
        f"its log: {store.path / 'process-2.log'}\n"
    )
    Mortal(monkeypatch, "true", "echo loading; echo 'rlvr_sweep: model x: no such folder' >&2; exit 2")
    assert spread([(store, 3)]) == 2
    assert "process 2 of 2 failed: model x: no such folder; the same command" in capsys.readouterr().err
    Mortal(monkeypatch, "exit 2", "exit 2")  # what both met the first one has said
    assert spread([(store, 3)]) == 2
    assert capsys.readouterr().err == ""


def test_no_other_command_samples_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = map(Store.create, two_jobs(tmp_path, TWO))
    shells = Mortal(monkeypatch, "true", "true")
    with one.lock():
        assert spread([(one, 3), (two, 2)]) == 2  # the other store is sampled all the same
    assert "is being sampled by process" in capsys.readouterr().err
    assert all(str(one.path) not in " ".join(each["command"]) for each in shells.started) and len(shells.started) == 2


def test_a_process_has_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = composed(tmp_path, TWO, "compute.device=cuda", "compute.backend=vllm")
    store = Store.create(benchmark_job(cell, "add", samples=1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab,7")
    shells = Mortal(monkeypatch, "true", "true")
    assert spread([(store, 1)]) == 0
    assert [one["env"]["CUDA_VISIBLE_DEVICES"] for one in shells.started] == ["5", "GPU-ab"]
    assert {one["env"]["CUDA_DEVICE_ORDER"] for one in shells.started} == {"PCI_BUS_ID"}  # nvidia-smi's numbers
    told = {"5": r"1; write compute=gpu compute\.ranks=1", "": r"0; write compute=cpu compute\.backend=hf"}
    for there, instead in told.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", there)
        with pytest.raises(UserError, match=rf"compute\.ranks=2: .* there are {instead}$"):
            spread([(store, 1)])


@pytest.mark.slow
def test_ctrl_c_ends_all_and_keeps_what_they_have(tmp_path: Path) -> None:
    cell = composed(tmp_path, TWO, "eval.benchmarks.add.count=400", "eval.batch=2")
    store = Store.create(benchmark_job(cell, "add", samples=64, temperature=1.0))
    command = [sys.executable, "-m", "rlvr_sweep.train.sampler", f"64:{store.path}"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while len({int(part.stem[5:]) % 2 for part in store.parts()}) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == sampler.INTERRUPTED
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nothing is left of it
    kept = len(store.rows(columns=[]))
    assert kept >= 4 and len(store.missing(samples=64) or []) == 400 * 64 - kept
    with store.lock():
        pass
