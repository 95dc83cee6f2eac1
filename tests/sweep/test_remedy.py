"""What is advised where a cell does not fit: taken at its word, it makes the cell fit."""

import re

import pytest

from rlvr_sweep import devices
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep import memory
from tests.conftest import H200

VLLM = "compute.backend=vllm"
FEWER = "compute.generate_batch=64 eval.batch=64"
HALF = "compute.generate_batch=128 eval.batch=128"
KEEP, LORA = "compute.gradient_checkpointing=false", "model.lora={rank: 16}"
AUTO = "compute.gradient_checkpointing=auto"
WASTEFUL = [
    [],
    [VLLM, "compute.vllm_sleep=false"],
    [VLLM, "compute.vllm_memory=0.8"],
    ["compute.generate_batch=null", "eval.batch=1024"],
    [KEEP],
    ["algo.name=mine", "estimator=grpo", "compute.micro_batch=32"],
    ["model.lora={rank: 64}"],
]
NOTHING = "no compute preset makes room, nor does LoRA; write a smaller model"


def cell(lines: list[str]) -> Cell:
    return compose_or_refuse(["algo=spurious_rewards", "tracking=off", *lines], multirun=False)[0].cell


def advice(lines: list[str], total: int, gpus: int) -> str | None:
    """What the refusal says to write; None where it fits."""
    try:
        memory.check(cell(lines), total, gpus=gpus)
    except UserError as refused:
        return str(refused).split("; ", 1)[1].removesuffix(", or compute.check_memory=false to try it")
    return None


def heeding(lines: list[str], words: str) -> list[str]:
    """The lines with one of the remedies that a refusal names."""
    said, _, without = words.partition(" without ")
    new = re.findall(r"[\w.]+=(?:\{[^}]*\}|\S+)", said)
    gone = [*without.split(" on ")[0].split(", "), *(word.split("=")[0] for word in new)]
    return [*(line for line in lines if line.split("=")[0] not in gone), *new]


@pytest.mark.parametrize("total", [24 << 30, 80 << 30])
@pytest.mark.parametrize("preset", ["gpu", "zero3_x4"])
def test_what_is_advised_fits(preset: str, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory_here", lambda: 64 << 30)
    for wasteful in WASTEFUL:
        lines = ["model=shape/qwen2_5_7b", f"compute={preset}", *wasteful]
        said = advice(lines, total, gpus=4)
        if said is None:
            continue
        assert said.startswith("write ") or (said == NOTHING and total == 24 << 30)
        for words in said.removeprefix("write ").removesuffix(" here").split(", or ") if said != NOTHING else ():
            assert advice(heeding(lines, words), total, gpus=16) is None, (lines, words)


@pytest.mark.parametrize(
    ("lines", "total", "said"),
    [
        ([], 80 << 30, f"write compute=zero1_x4 {FEWER} on 4 GPUs, or {LORA} {HALF} here"),
        ([KEEP, "eval.batch=64"], H200, f"write compute=zero2_x8 on 8 GPUs, or {LORA} {AUTO} here"),
        ([LORA], 16 << 30, NOTHING),
        (["model=shape/qwen2_5_1_5b", VLLM], 38 << 30, "write compute.micro_batch=4"),
    ],
)
def test_on_one_gpu_a_larger_machine_is_not_all_there_is(
    lines: list[str], total: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "memory_here", lambda: 64 << 30)
    assert advice(["model=shape/qwen2_5_7b", "compute=gpu", *lines], total, gpus=1) == said
