"""What a machine offers a cell at full size: each row can be ok and can be not, and says what to do."""

import socket
from pathlib import Path

import pytest

from rlvr_sweep import causes, devices
from rlvr_sweep.devices import Gpu, Process
from rlvr_sweep.doctor import machine

GB = 10**9


@pytest.mark.parametrize(
    ("vllm", "torch", "state"),
    [
        (None, "2.13.0", "ok"),
        ("0.26.0", "2.11.0+cu130", "ok"),
        ("0.30.1", "2.13.0", "ok"),
        ("0.26.0", "2.13.0", "fail"),
        ("0.30.0", "2.11.0", "fail"),
        ("0.21.0", "2.11.0", "fail"),
        ("0.33.0", "2.14.0", "fail"),  # TRL does not take it
        ("0.27.0", "2.11.0", "warn"),
        ("0.26.0", None, "fail"),
    ],
)
def test_versions_fit_together_or_are_told_how(vllm: str | None, torch: str | None, state: str) -> None:
    check = machine.stack({"torch": torch, "trl": "1.16.0", "vllm": vllm, "deepspeed": None})
    assert check.state == state
    assert ("pip install" in check.remedy) == (state != "ok")


def gpu(index: int, used: int = 0) -> Gpu:
    return Gpu(str(index), f"GPU-{index}", "NVIDIA H200", 150 * GB, used)


def test_gpus_are_named_and_busy_ones_with_their_processes() -> None:
    assert "none here" in machine.gpu_row([], []).found
    free = machine.gpu_row([gpu(0), gpu(1)], [])
    assert free.state == "ok" and "2 x NVIDIA H200, 150 GB each, all free" in free.found
    busy = machine.gpu_row([gpu(0, 60 * GB), gpu(1)], [Process("GPU-0", "4711", "/usr/bin/python3", 60 * GB)])
    assert busy.state == "warn" and "0: 60 GB in use by python3 (pid 4711, 60 GB)" in busy.found
    assert busy.remedy == "export CUDA_VISIBLE_DEVICES=1"
    assert "wait" in machine.gpu_row([gpu(0, 60 * GB)], []).remedy


@pytest.mark.parametrize(
    ("visible", "found", "remedy"),
    [
        (("2", "3"), "2 x NVIDIA H200, 150 GB each, all free", ""),
        (("0", "2"), "2 x NVIDIA H200, 150 GB each; 0: 60 GB", "export CUDA_VISIBLE_DEVICES=2"),
        ((), "none here", ""),
        (("MIG-7",), "4 x NVIDIA H200, 150 GB each; 0: 60 GB", "export CUDA_VISIBLE_DEVICES=1,2,3"),
    ],
)
def test_only_gpus_that_are_ours_are_judged_and_advised(
    monkeypatch: pytest.MonkeyPatch, visible: tuple[str, ...], found: str, remedy: str
) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: [gpu(0, 60 * GB), gpu(1), gpu(2), gpu(3)])
    monkeypatch.setattr(devices, "processes", list)
    monkeypatch.setattr(devices, "gpus_here", lambda: visible)
    check = machine.gpus()
    assert check.found.startswith(found) and check.remedy == remedy


def test_one_gpu_needs_no_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus_here", lambda: ("0",))
    assert machine.nccl(driver=[gpu(0)]).state == "ok"


def test_gpus_that_cannot_talk_fail_with_the_usual_causes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus_here", lambda: ("0", "1"))
    monkeypatch.setattr(machine, "collective", lambda count: "RuntimeError: unhandled system error")
    check = machine.nccl(driver=[gpu(0), gpu(1)])
    assert check.state == "fail" and "unhandled system error" in check.found and check.remedy == causes.NCCL
    monkeypatch.setattr(machine, "collective", lambda count: "Duplicate GPU detected : rank 1 and rank 0\nError: x")
    assert "CUDA_VISIBLE_DEVICES" in machine.nccl(driver=[gpu(0), gpu(1)]).remedy
    monkeypatch.setattr(machine, "collective", lambda count: None)
    assert machine.nccl(driver=[gpu(0), gpu(1)]).state == "ok"


def test_a_torch_without_gpus_is_no_fault_of_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus_here", lambda: ("0", "1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = machine.nccl(driver=[gpu(0), gpu(1)])
    assert check.state == "fail" and check.found.endswith("RuntimeError: torch sees 0 GPUs")
    assert "DEVICE=gpu make setup" in check.remedy and "NCCL_SOCKET_IFNAME" not in check.remedy


def test_processes_add_up_a_number_or_say_why_not() -> None:
    assert machine.collective(2, backend="gloo") is None
    wrong = machine.collective(1, backend="no_such_backend")
    assert wrong is not None and "Error" in wrong


def test_a_rank_that_dies_early_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    last = 'import os\nif os.environ["RANK"] == "1":\n    raise RuntimeError("this GPU is lost")\n'
    monkeypatch.setattr(machine, "COLLECTIVE", last + machine.COLLECTIVE)
    monkeypatch.setattr(machine, "COLLECTIVE_S", 20)
    monkeypatch.setattr(machine, "GRACE_S", 0.5)
    wrong = machine.collective(2, backend="gloo")
    assert wrong is not None and wrong.endswith("RuntimeError: this GPU is lost")


def test_what_was_said_before_time_ran_out_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COLLECTIVE", 'import time\nprint("NCCL WARN a link", flush=True)\ntime.sleep(60)')
    monkeypatch.setattr(machine, "COLLECTIVE_S", 2)
    assert machine.collective(2) == "NCCL WARN a link\nNCCL WARN a link\nno answer within 2 s"
    monkeypatch.setattr(devices, "gpus_here", lambda: ("0", "1"))
    assert machine.nccl(driver=[gpu(0), gpu(1)]).found.endswith("NCCL WARN a link; no answer within 2 s")


def test_a_small_shared_memory_is_told(tmp_path: Path) -> None:
    check = machine.shared_memory(tmp_path, low=1 << 62)
    assert check.state == "warn" and "--ipc=host" in check.remedy
    assert machine.shared_memory(tmp_path, low=0).state == "ok"
    assert machine.shared_memory(tmp_path / "none").state == "ok"


def test_the_network_is_asked_unless_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert "not asked" in machine.network().found
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert machine.network().state == "ok"
    check = machine.network()
    assert check.state == "warn" and "prefetch" in check.remedy
