"""What an attempt runs on, for its env.json: versions, host, devices, and how the work was split.

Of the environment only a few named variables are kept, so that no secret is written down.
"""

import os
import platform
import socket
from importlib import metadata
from typing import Any

from rlvr_sweep import __version__, source
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.protocol import SHARE

DISTRIBUTIONS = ("trl", "transformers", "torch", "peft", "accelerate", "deepspeed", "liger-kernel", "vllm", "wandb")
GRADER = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy")
VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "SLURM_JOB_ID", "WORLD_SIZE", SHARE)


def environment(cell: Cell, *, use_cpu: bool, kept: int | None) -> dict[str, Any]:
    """Plain values. `use_cpu` and `kept` (tokens of a pass whose activations are kept; None: of every pass): what the
    trainer was told."""
    import torch

    devices = [] if use_cpu else [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "rlvr_sweep": __version__,
        "commit": source.commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "devices": devices or [platform.machine()],
        "cuda": None if use_cpu else torch.version.cuda,
        "threads": torch.get_num_threads(),
        "versions": {name: _installed(name) for name in (*DISTRIBUTIONS, *GRADER)},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "compute": cell.compute.model_dump(mode="json"),
        "eval_batch": cell.eval.batch,
        "attention": cell.model.attention,
        "kept_tokens": kept,
    }


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
