"""Small cells share a GPU, one a core, as far as its memory goes; what is said counts, and large ones have it alone."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from rlvr_sweep import devices
from rlvr_sweep.__main__ import main
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.shapes import memory
from rlvr_sweep.sweep.packing import lines, share
from tests.conftest import H200

GPU = {"free": H200, "cores": 16, "gpus": 1, "cells": 1000}


def cell(*overrides: str) -> Cell:
    return compose_or_refuse(["tracking=off", *overrides], multirun=False)[0].cell


def test_a_lab_model_takes_a_core_s_part_of_the_gpu() -> None:
    assert share(cell(), **GPU) == Fraction(1, 16)
    assert share(cell(), free=H200, cores=16, gpus=4, cells=1000) == Fraction(1, 4)
    assert share(cell(), free=H200, cores=224, gpus=1, cells=1000) == Fraction(1, 64)
    assert share(cell(), free=H200, cores=2, gpus=4, cells=1000) == 1


def test_not_more_than_fit_into_its_memory() -> None:
    peak = memory.estimate(cell(), H200).peak
    assert share(cell(), free=3 * peak + 1, cores=16, gpus=1, cells=1000) == Fraction(1, 3)
    assert share(cell(), free=peak // 2, cores=16, gpus=1, cells=1000) == 1


def test_no_more_parts_than_there_are_cells() -> None:
    assert share(cell(), **GPU | {"cells": 3}) == Fraction(1, 3)
    assert share(cell(), **GPU | {"gpus": 4, "cells": 6}) == Fraction(1, 2)
    assert share(cell(), **GPU | {"cells": 1}) == 1


def test_what_is_said_counts() -> None:
    assert share(cell("compute.share=0.25"), **GPU) == Fraction(1, 4)
    assert share(cell("compute.share=1"), **GPU) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["compute.ranks=2"],
        ["compute.backend=vllm", "compute.device=cuda"],
        ["model=shape/qwen2_5_1_5b", "algo=spurious_rewards", "compute=gpu"],
        ["model=qwen2.5_7b", "data=deepscaler", "algo=spurious_rewards", "compute=gpu", "eval=none"],
    ],
    ids=str,
)
def test_all_others_have_a_gpu_each(overrides: list[str]) -> None:
    assert share(cell(*overrides), **GPU) == 1


def test_of_an_unknown_gpu_there_is_one_a_cell() -> None:
    assert share(cell(), free=None, cores=16, gpus=1, cells=1000) == 1


def test_plan_says_how_many_run_at_once(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_gpus: Callable[..., None],
) -> None:
    with_gpus(1)
    monkeypatch.setattr(devices, "cores_here", lambda: 16)
    assert main(["plan", "seed=range(0,32)", f"runs={tmp_path}"]) == 0
    assert "packing: 16 cells at once on a GPU\n" in capsys.readouterr().out
    with_gpus(1, used=H200 - 3 * memory.estimate(cell(), H200).peak - 1)
    assert main(["plan", "seed=range(0,32)", f"runs={tmp_path}"]) == 0
    assert "packing: 3 cells at once on a GPU\n" in capsys.readouterr().out
    some = [cell(), cell("compute.share=1")]
    assert lines(some, free=H200, cores=16, gpus=1) == ["packing: 2 cells at once on a GPU (1 of 2 cells)"]
