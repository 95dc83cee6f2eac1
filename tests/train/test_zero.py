"""ZeRO on two CPU ranks over gloo: it trains, stops and goes on exactly, whole and with LoRA; its configuration."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import Composed, compose, compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.sweep.process import command
from rlvr_sweep.train import checkpoints, deepspeed
from tests.conftest import TINY

needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install 'rlvr_sweep[gpu]'"
)
STOPPED = 75
BUILD_S = 400  # the first run compiles DeepSpeed's communication for the CPU


def config(*lines: str) -> dict:
    found = deepspeed.config(compose_or_refuse(["compute=zero2_x2", *lines], multirun=False)[0].cell)
    assert found is not None
    return found


def test_without_zero_there_is_no_configuration() -> None:
    assert deepspeed.config(compose_or_refuse(["compute=gpu"], multirun=False)[0].cell) is None


def test_the_configuration_follows_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: object())
    assert config()["zero_optimization"]["stage"] == 2
    assert "offload_optimizer" not in config()["zero_optimization"]
    offloaded = config("compute.zero=3", "compute.offload=true")["zero_optimization"]
    assert offloaded["offload_optimizer"]["device"] == offloaded["offload_param"]["device"] == "cpu"
    assert offloaded["stage3_gather_16bit_weights_on_model_save"]
    assert config()["train_batch_size"] == "auto", "the batches are those of the algorithm"


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rlvr_sweep\[gpu\]'"):
        config()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["compute.zero=2", "compute.device=cpu"], "nothing to shard on 1 rank"),
        (["compute.offload=true"], "write compute.zero=2"),
        (["compute.zero=2", "compute.ranks=2"], "compute.device=cuda"),
        (["compute=zero2_x2", "compute.zero=4"], "compute.zero"),
        (["compute=zero2_x8", "algo.prompts_per_rollout=4"], "whole groups"),
    ],
)
def test_what_zero_cannot_do_is_refused(lines: list[str], told: str) -> None:
    faults = compose(lines, multirun=False).faults
    assert len(faults) == 1 and told in faults[0]


def test_zero_is_no_part_of_the_identity() -> None:
    presets = ("gpu", "zero2_x2", "zero3_x4")
    assert len({compose_or_refuse([f"compute={name}"], multirun=False)[0].cell_id for name in presets}) == 1


def start(directory: CellDir) -> subprocess.Popen:
    environment = {**os.environ, "DS_ACCELERATOR": "cpu"}
    return subprocess.Popen(
        command(directory), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    errors = process.communicate(timeout=BUILD_S)[1]
    return process.returncode, errors


def digest(directory: CellDir) -> list[str]:
    files = [directory.path / "metrics.jsonl", *sorted(directory.path.glob("model/*.safetensors"))]
    files += sorted(directory.path.glob("evals/*/*"))
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: each for file in folder.glob("*.safetensors") for name, each in load_file(file).items()}


def stop_after_first_step(directory: CellDir) -> None:
    process = start(directory)
    end = time.monotonic() + BUILD_S
    while not (directory.path / "metrics.jsonl").is_file():
        assert time.monotonic() < end and process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.kill(directory.read_status()["pid"], signal.SIGUSR1)  # rank 0 alone
    code, errors = finish(process)
    assert directory.read_status()["state"] == "preempted", (code, errors)


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param([], id="whole"),
        pytest.param(["model.dtype=bfloat16"], id="whole-bfloat16"),
        pytest.param(["model.dtype=bfloat16", "model.lora={rank: 4}"], id="lora-bfloat16"),
    ],
)
def test_zero_trains_and_resumes_exactly(zero: int, overrides: list[str], make_cell: Callable[..., CellDir]) -> None:
    lines = ["compute.ranks=2", "compute.device=cpu", f"compute.zero={zero}", "algo.rollouts=6", *overrides]
    straight, stopped = make_cell(*lines, runs="straight"), make_cell(*lines, runs="stopped")
    code, errors = finish(start(straight))
    assert code == 0, errors
    rows = [json.loads(line) for line in (straight.path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(1, 13))
    assert any(r["grad_norm"] > 0 for r in rows)
    trained, base = weights(straight.path / "model"), weights(model_dir("qwen_math"))
    assert {name: each.shape for name, each in trained.items()} == {name: each.shape for name, each in base.items()}
    assert any(
        not torch.equal(trained[name].float(), base[name].float().to(trained[name].dtype).float()) for name in base
    )

    stop_after_first_step(stopped)
    code, errors = finish(start(stopped))
    assert code == 0, errors
    assert digest(stopped) == digest(straight)


@needs_deepspeed
@pytest.mark.slow
def test_zero_makes_the_update_of_one_process(make_cell: Callable[..., CellDir]) -> None:
    """In float32 the first gradient is that of plain data-parallel ranks."""
    rows = []
    for zero in (0, 1, 2, 3):
        lines = ["compute.ranks=2", "compute.device=cpu", f"compute.zero={zero}", "algo.rollouts=1"]
        directory = make_cell(*lines, runs=f"zero{zero}")
        code, errors = finish(start(directory))
        assert code == 0, errors
        rows.append([json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()])
    for other in rows[1:]:
        for mine, theirs in zip(rows[0], other, strict=True):
            assert theirs["loss"] == pytest.approx(mine["loss"], abs=1e-5)
            assert theirs["grad_norm"] == pytest.approx(mine["grad_norm"], rel=1e-4)


@needs_deepspeed
@pytest.mark.slow
def test_another_sharding_cannot_resume(make_cell: Callable[..., CellDir]) -> None:
    lines = ["compute.ranks=2", "compute.device=cpu", "compute.zero=2", "algo.rollouts=8"]
    directory = make_cell(*lines)
    stop_after_first_step(directory)
    folder = directory.path / "checkpoints"
    assert checkpoints.newest(folder, ranks=2, zero=2)
    assert checkpoints.newest(folder, ranks=2, zero=1)
    for zero in (0, 3):
        with pytest.raises(UserError, match=r"written with compute\.zero=1 or 2, .* state is cut otherwise"):
            checkpoints.newest(folder, ranks=2, zero=zero)

    alone = [line for line in lines if "ranks" not in line and "zero" not in line]
    directory.update(make_composed(directory, *alone))
    code, errors = finish(start(directory))
    assert code == 2 and "written by 2 ranks" in errors and "write compute.ranks=2" in errors
    assert checkpoints.newest(folder, ranks=2, zero=2), "it is kept"


def make_composed(directory: CellDir, *lines: str) -> Composed:
    """The cell of a directory as another command would start it."""
    found = compose_or_refuse([*TINY, *lines, f"runs={directory.path.parent}"], multirun=False)[0]
    assert found.cell_id == directory.cell_id
    return found


def test_a_checkpoint_tells_how_it_is_sharded(tmp_path: Path) -> None:
    step = tmp_path / "checkpoint-2" / "global_step2"
    assert checkpoints.sharding(step.parent) == "0"
    step.mkdir(parents=True)
    (step / "zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    assert checkpoints.sharding(step.parent) == "1 or 2"
    (step / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    assert checkpoints.sharding(step.parent) == "3"
