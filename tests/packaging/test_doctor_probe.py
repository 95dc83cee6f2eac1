"""`doctor --probe`: two steps of a real cell pass and leave nothing behind; one that fails says why, with its log."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.rules import arm
from rlvr_sweep.doctor import probe

CHEAP = ["algo.prompts_per_rollout=4", "algo.completions_per_prompt=4", "algo.max_completion_tokens=16"]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_cell_is_cut_to_its_first_two_updates(tmp_path: Path) -> None:
    def short(*lines: str) -> Any:
        return probe.shortened(compose_or_refuse(list(lines), multirun=False)[0].cell, tmp_path)

    def rollouts(*lines: str) -> int:
        return arm(short(*lines)).rollouts

    assert rollouts() == 1  # of four updates
    assert rollouts("clip=off_large_batch") == rollouts("clip=off_small_rollout", "clip.match=rollouts") == 2  # of one
    assert not short().eval.benchmarks and not short().compute.keep_model and short().tracking.mode == "off"


def test_it_passes_and_leaves_nothing(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--probe", "model=shape/tiny", "reward=random", "algo.updates_per_rollout=2", *CHEAP]) == 0
    said = capsys.readouterr().out
    assert "passed: 2 updates in" in said and "GB a process" in said and "train" in said
    assert not list(scratch.glob("rlvr-probe-*"))


FAILING = """
import os, sys
def score(group):
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", file=sys.stderr, flush=True)
    os._exit(1)
"""


def test_a_failure_shows_its_reason_its_cause_and_its_log(
    scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch / "failing_probe.py").write_text(FAILING)
    monkeypatch.chdir(scratch)
    assert main(["doctor", "--probe", "reward=plugin", "reward.function=failing_probe:score", *CHEAP]) == 1
    said = capsys.readouterr().out
    assert "FAILED after" in said and "reason: ended by exit code 1" in said
    assert "likely cause: the GPU's memory is used up: write a smaller compute.micro_batch" in said
    [folder] = scratch.glob("rlvr-probe-*/*--*")
    assert f"the end of its log, in {folder}:" in said and "  torch.OutOfMemoryError: CUDA out of memory." in said


def test_what_could_never_start_is_one_line(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--probe", "compute=zero2_x2"]) == 2
    assert "no GPU is seen here" in capsys.readouterr().err
    assert main(["doctor", "--probe", "modl=lab/qwen"]) == 2
    assert not list(scratch.glob("rlvr-probe-*"))


SLOW = ["model=shape/tiny", "compute=cpu", "reward=random", "algo.max_prompt_tokens=256"]
SLOW += ["algo.prompts_per_rollout=128", "algo.max_completion_tokens=2048"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_waits_for_nothing_and_has_nothing_left(scratch: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "rlvr_sweep", "doctor", "--probe", *SLOW]
    environment = {**os.environ, "TMPDIR": str(scratch), "HF_HOME": str(scratch / "hf")}
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background inherits "ignore"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heeded)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "train" in line:
            process.send_signal(number)
            began = time.monotonic()
            assert process.wait(60) == 130 and time.monotonic() - began < 20  # a rollout takes minutes
    assert said[-1] == "rlvr_sweep: interrupted\n"
    assert not list(scratch.glob("rlvr-probe-*"))
