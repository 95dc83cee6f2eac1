"""What keeps a cell from starting on GPUs, said before the start. A stand-in nvidia-smi lists them and their users."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlvr_sweep import devices
from rlvr_sweep.__main__ import main
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep import gpus, local

GB = 10**9
SMI = """#!/bin/sh
case "$*" in
    *query-gpu=index,uuid,name,memory.total,memory.used*) cat {gpus} ;;
    *query-compute-apps*) cat {apps} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """machine([MiB in use, ...], apps="GPU-0, 4711, /usr/bin/python3, 60000") makes GPUs of 143,771 MiB."""

    def make(used: list[int], apps: str = "") -> None:
        lines = [f"{i}, GPU-{i}, NVIDIA H200, 143771, {mib}\n" for i, mib in enumerate(used)]
        (tmp_path / "gpus").write_text("".join(lines))
        (tmp_path / "apps").write_text(apps + "\n")
        script = tmp_path / "nvidia-smi"
        script.write_text(SMI.format(gpus=tmp_path / "gpus", apps=tmp_path / "apps"))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        monkeypatch.setattr(local.CellProcess, "start", lambda *args, **kwargs: pytest.fail("it started"))
        gpus.at_first.cache_clear()

    yield make
    gpus.at_first.cache_clear()


LARGE = ["model=shape/qwen2_5_1_5b", "eval=none", "data.repeat=true", "tracking=off"]


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *lines: str) -> str:
    assert main([*LARGE, *lines, f"runs={tmp_path / 'runs'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_busy_gpu_is_named_with_who_is_on_it(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine([130_000, 10], apps="GPU-0, 4711, /usr/bin/python3, 129000")
    line = refused(capsys, tmp_path, "compute=gpu")
    assert "GPU 0: 136 GB in use by python3 (pid 4711, 135 GB)" in line
    assert "shape/qwen2_5_1_5b takes about" in line and "export CUDA_VISIBLE_DEVICES=1" in line


def test_where_all_are_busy_and_nobody_is_seen(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine([130_000])
    line = refused(capsys, tmp_path, "compute=gpu")
    assert "processes that cannot be seen from here" in line and "CUDA_VISIBLE_DEVICES" not in line


def test_a_busy_gpu_is_not_to_be_left_out_where_the_cell_takes_them_all(machine: Callable[..., None]) -> None:
    machine([130_000, 10, 10])
    with pytest.raises(UserError, match=r"wait for that, or leave it out: export CUDA_VISIBLE_DEVICES=1,2;"):
        gpus.check_free("large", 100 * GB, ("0", "1", "2"), ranks=2)
    with pytest.raises(UserError, match=r"wait for that; compute\.check_memory=false"):
        gpus.check_free("large", 100 * GB, ("0", "1", "2"), ranks=3)


def test_computing_anew_is_offered_where_that_would_fit(machine: Callable[..., None]) -> None:
    machine([60_000])
    with pytest.raises(UserError, match=r"or write compute\.gradient_checkpointing=true \(about 80 GB\);"):
        gpus.check_free("large", 120 * GB, ("0",), frugal=80 * GB)
    with pytest.raises(UserError, match=r"wait for that; compute\.check_memory=false"):
        gpus.check_free("large", 120 * GB, ("0",), frugal=100 * GB)


def test_a_little_in_use_keeps_nobody_out(machine: Callable[..., None]) -> None:
    machine([60_000])
    gpus.check_free("small", 50 * GB, ("0",))
    gpus.check_free("small", 150 * GB, ("1",))  # not ours
    with pytest.raises(UserError, match="small takes about 100 GB of 151"):
        gpus.check_free("small", 100 * GB, ("0",))


def test_a_gpu_that_is_not_there(
    machine: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine([0, 0])
    assert "takes 4 GPUs (compute.ranks), and this machine has 2; write compute.ranks=2" in refused(
        capsys, tmp_path, "compute=zero2_x4"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    line = refused(capsys, tmp_path, "compute=gpu")
    assert "there is no GPU 7; this machine has GPUs 0 to 1; unset CUDA_VISIBLE_DEVICES" in line
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-77")
    assert "there is no GPU GPU-77; this machine has" in refused(capsys, tmp_path, "compute=gpu")
    gpus.check(("GPU-1", "MIG-77"), ranks=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,1")
    assert "names a GPU twice; export CUDA_VISIBLE_DEVICES=1" in refused(capsys, tmp_path, "compute=zero2_x2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "no GPU is seen here; write compute=cpu" in refused(capsys, tmp_path, "compute=gpu")


def test_nodes_are_asked_for_before_gpus(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine([0, 0])
    line = refused(capsys, tmp_path, "compute=zero2_2x8", "compute.micro_batch=2")
    assert line.endswith("a cell over several nodes runs under SLURM; write hydra/launcher=slurm")


def test_too_little_shared_memory_for_several_ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NCCL_SHM_DISABLE", raising=False)
    monkeypatch.setattr(gpus.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 64 << 20}))
    gpus.check_shared_memory(1, tmp_path)
    gpus.check_shared_memory(2, tmp_path)  # 67 MB
    with pytest.raises(UserError, match=r"67 MB free, NCCL takes about 132 for 4 ranks; .*--ipc=host"):
        gpus.check_shared_memory(4, tmp_path)
    gpus.check_shared_memory(4, tmp_path / "none")
    monkeypatch.setenv("NCCL_SHM_DISABLE", "1")
    gpus.check_shared_memory(4, tmp_path)


def test_what_the_driver_lists_is_read_and_what_it_does_not_say_is_not_known(
    machine: Callable[..., None], tmp_path: Path
) -> None:
    machine([0, 0])
    with (tmp_path / "gpus").open("a") as file:
        file.write("2, GPU-2, NVIDIA GB10, [N/A], [N/A]\nUnable to determine the device handle\n")
    assert devices.gpus_here() == ("0", "1", "2")
    assert gpus.smallest(("0", "GPU-1")) == gpus.least_free(("1",)) == 143_771 << 20
    assert gpus.smallest(("2",)) is None and gpus.smallest(()) is None


def test_the_most_that_was_in_use_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    used, over = iter([100, -1, 300, 200]), threading.Event()

    def listed() -> list[devices.Gpu]:
        mib = next(used, None)
        if mib is None:
            over.set()
        if mib == -1:  # no answer
            return []
        return [
            devices.Gpu(str(i), f"GPU-{i}", "NVIDIA H200", GB, size << 20) for i, size in ((0, mib or 0), (1, 9000))
        ]

    monkeypatch.setattr(devices, "POLL_S", 0.001)
    monkeypatch.setattr(devices, "gpus", listed)
    with devices.Peak(("0",)) as peak:
        assert over.wait(10)
    assert peak.bytes == 300 << 20
    with devices.Peak(("0",)) as unsaid, devices.Peak(()) as none:
        pass
    assert unsaid.bytes is None and none.bytes is None
