"""What an error of a library below us usually means, in one line: the cause and what to write.

    cause("... Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1b000")     # None: not known here

Read by the worker (the reason in status.json), by `doctor`, and by `doctor --probe`. Messages as of NCCL 2.20 to 2.28,
torch 2.11 and vLLM 0.26; the first that fits counts, so the special stand above the general.
"""

import re

NCCL = (
    "NCCL could not start; the usual causes: NCCL_SOCKET_IFNAME names no interface, /dev/shm too small, a container "
    "without --ipc=host, other processes on the GPUs; NCCL_DEBUG=INFO says more"
)

CAUSES = (
    (
        r"torch sees \d+ GPUs|Torch not compiled with CUDA enabled",
        "torch sees fewer GPUs than the driver lists: its row in `python -m rlvr_sweep doctor` says why; for a build "
        "without CUDA: DEVICE=gpu make setup",
    ),
    (
        r"shared memory segment|extend /dev/shm|posix_fallocate|ncclShmOpen|Bus error|SIGBUS",
        "/dev/shm is too small: start the container with --ipc=host or --shm-size=16g, or export NCCL_SHM_DISABLE=1",
    ),
    (
        r"no socket interface found|with family \d+ is neither|no usable (listening )?interface",
        "NCCL_SOCKET_IFNAME names no interface of this machine: unset it, or write one that `ip -br address` lists",
    ),
    (
        r"Duplicate GPU detected|invalid device ordinal",
        "two ranks want one GPU: CUDA_VISIBLE_DEVICES must name as many different GPUs as compute.ranks",
    ),
    (
        r"peer access|p2p\.cc.*fail|cudaIpcOpenMemHandle|peer mapping|P2P.*not supported",
        "the GPUs cannot read each other's memory (a container, or a machine with IOMMU or ACS on): --ipc=host, or "
        "export NCCL_P2P_DISABLE=1",
    ),
    (
        r"ibv_|IBV_|NET/IB.*(error|status|timeout|Got completion)|vendor err",
        "InfiniBand does not answer: `ibstat` must show the ports active; or export NCCL_IB_DISABLE=1 (TCP, slower)",
    ),
    (
        r"Watchdog caught collective operation timeout|wait timeout after|"
        r"(NCCL|TCPStore|c10d|gloo|Gloo|rendezvous).*(Connection (timed out|refused)|[Tt]imed out after \d+)|"
        r"(Connection (timed out|refused)|[Tt]imed out after \d+).*(NCCL|TCPStore|c10d|gloo|rendezvous)",
        "a rank did not come: see which log ends first; between nodes a firewall, or NCCL_SOCKET_IFNAME must name the "
        "interface that they share",
    ),
    (
        r"No available memory for the cache blocks|KV cache.*(larger|needed)|Try increasing `?gpu_memory_utilization",
        "vLLM's share holds no KV cache: write a larger compute.vllm_memory, or fewer algo.max_completion_tokens",
    ),
    (
        r"Free memory on device .* is less than desired",
        "other processes hold the GPU (`nvidia-smi`): wait for them, or export CUDA_VISIBLE_DEVICES with another; in "
        "a cell that trains, a smaller compute.vllm_memory also makes room",
    ),
    (
        r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError",
        "the GPU's memory is used up: write a smaller compute.micro_batch, compute.gradient_checkpointing=true, a "
        "smaller compute.generate_batch (eval.batch where nothing trains), or another compute preset; "
        "`python -m rlvr_sweep plan` estimates them",
    ),
    (
        r"driver version is insufficient|driver on your system is too old|no kernel image is available",
        "the driver or the GPU is too old for this torch: compare `nvidia-smi` with `python -m rlvr_sweep doctor`",
    ),
    (
        r"busy or unavailable",
        "the GPU is in exclusive mode and held by another process: `nvidia-smi -q -d COMPUTE`",
    ),
    (
        r"device-side assert|index out of range in self",
        "a token that the model has no row for: the tokenizer is that of another model",
    ),
    (r"NCCL error|ncclSystemError|ncclInternalError|ncclUnhandledCudaError|ncclRemoteError", NCCL),
)


def cause(text: str) -> str | None:
    """The usual cause of an error by its message or the end of its log; None where none is known."""
    return next((said for pattern, said in CAUSES if re.search(pattern, text)), None)
