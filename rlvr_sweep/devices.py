"""What this process may run on, asked without torch: whoever only looks must not hold a CUDA context.

gpus_here()      # ("0", "3"): what CUDA_VISIBLE_DEVICES may hold
cores_here()     # 8
"""

import os
import shutil
import subprocess


def cores_here() -> int:
    """The cores this process may run on (a SLURM task or a container has fewer than the machine)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(affinity, int(asked)) if asked.isdigit() else affinity


def gpus_here() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES names, or else all that nvidia-smi lists; in a SLURM job that was given none, none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1", "NoDevFiles"))
    if "SLURM_JOB_ID" in os.environ or shutil.which("nvidia-smi") is None:
        return ()
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return tuple(listed.stdout.split()) if listed.returncode == 0 else ()
