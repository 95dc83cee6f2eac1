"""What a cell's process is given of the machine."""

import json
import sys
from collections.abc import Callable
from fractions import Fraction

import pytest

from rlvr_sweep import devices
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.sweep import process
from rlvr_sweep.sweep.process import CellProcess
from rlvr_sweep.sweep.slots import Lease, Need

OFFLOAD = ["compute=zero2_offload", "compute.check_memory=false"]
TELL = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"


@pytest.mark.parametrize(
    ("lines", "gpus", "share", "threads"),
    [
        (["compute=gpu"], ("0",), 1, None),
        (OFFLOAD, ("0",), 1, "6"),  # Adam runs on the cores: 24 of them, 4 GPUs
        (OFFLOAD, ("0",), 0.5, "3"),
        (["compute=zero3_offload_x2"], ("0", "1"), 1, "6"),
        ([*OFFLOAD, "compute.threads=3"], ("0",), 1, "3"),
        (["compute=cpu", "compute.threads=2"], (), 1, "2"),
    ],
)
def test_threads_are_the_cells_share_of_the_cores(
    lines: list[str],
    gpus: tuple[str, ...],
    share: float,
    threads: str | None,
    make_cell: Callable[..., CellDir],
    with_gpus: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_gpus(4)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(devices, "cores_here", lambda: 24)
    cell = make_cell(*lines)
    told = cell.path / "environment.json"
    monkeypatch.setattr(process, "command", lambda directory: [sys.executable, "-c", TELL, str(told)])
    running = CellProcess.start(cell, Lease(Need(gpus=len(gpus), share=Fraction(share)), gpus), seen=0)
    running.settle()
    environment = json.loads(told.read_text())
    assert environment.get("OMP_NUM_THREADS") == threads
    assert environment["CUDA_VISIBLE_DEVICES"] == ",".join(gpus)
