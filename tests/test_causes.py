"""The usual causes: messages as the libraries print them lead to the line that mends it, and others to none."""

import pytest

from rlvr_sweep.causes import NCCL, cause


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Error while creating shared memory segment /dev/shm/nccl-1YsMbG (size 7340384)", "--ipc=host"),
        ("NCCL WARN Error: failed to extend /dev/shm/nccl-WU88OE to 9637892 bytes, error: No space left", "--shm-size"),
        ("NCCL WARN Bootstrap : no socket interface found", "NCCL_SOCKET_IFNAME names no interface"),
        ("ncclSocketInit: connecting to address  with family 59936 is neither AF_INET(2) nor", "NCCL_SOCKET_IFNAME"),
        ("ncclInvalidUsage: Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1b000", "two ranks"),
        ("CUDA error: invalid device ordinal", "two ranks"),
        ("Cuda failure 'peer access is not supported between these two devices'", "NCCL_P2P_DISABLE=1"),
        ("NCCL WARN NET/IB : Got completion from peer 10.0.0.2 with status=12 opcode=1", "NCCL_IB_DISABLE=1"),
        ("NCCL WARN Call to ibv_modify_qp failed with error Connection timed out", "NCCL_IB_DISABLE=1"),
        ("Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1)", "a rank did not come"),
        ("DistBackendError: NCCL error in: NCCLUtils.hpp:268, unhandled system error", NCCL),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "a smaller compute.micro_batch"),
        ("ValueError: No available memory for the cache blocks.", "compute.vllm_memory"),
        ("Free memory on device cuda:0 (10/139 GiB) on startup is less than desired GPU memory", "compute.vllm_memory"),
        ("IndexError: index out of range in self", "the tokenizer is that of another model"),
        ("KeyError: 'prompt'", None),
        ("OSError: [Errno 28] No space left on device: 'runs/x'", None),
    ],
)
def test_a_message_leads_to_its_cause(message: str, told: str | None) -> None:
    found = cause(message)
    assert found == told if told is None else told in str(found)
