"""Which versions of vLLM go with which TRL and torch, as their releases say, and what a cell needs that is missing.

TRL_VLLM                      # ">=0.22,<0.32"
check_installed(compute)      # UserError: the range and the command
"""

from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec

from rlvr_sweep.config.schema import Compute
from rlvr_sweep.errors import UserError

# vLLM's wheels are built against one torch each. (from, below) -> torch
VLLM_TORCH = {("0.24", "0.27"): "2.11", ("0.28", "0.32"): "2.13", ("0.33", "0.34"): "2.14"}
TRL_VLLM = ">=0.22,<0.32"  # what TRL 1.16 speaks to
INSTALL_VLLM = "DEVICE=gpu-vllm make setup, or: pip install 'torch==2.11.*' 'vllm==0.26.*'"


def installed() -> dict[str, str | None]:
    """The versions of what must fit together; None: not there."""
    found: dict[str, str | None] = {}
    for name in ("torch", "trl", "vllm", "deepspeed"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def torch_of(vllm: str | None) -> str | None:
    """The torch (major.minor) that a vLLM is built for, where that is known."""
    from packaging.version import Version

    if not vllm:
        return None
    ranges = VLLM_TORCH.items()
    return next((torch for (low, high), torch in ranges if Version(low) <= Version(vllm) < Version(high)), None)


def vllm_misfit(have: Mapping[str, str | None]) -> str | None:
    """What keeps TRL or torch from taking this vLLM; None: nothing, or there is none."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    vllm, torch = have["vllm"], have["torch"]
    if not vllm:
        return None
    if not SpecifierSet(TRL_VLLM).contains(vllm, prereleases=True):
        return f"TRL {have['trl']} takes vLLM {TRL_VLLM}, not {vllm}"
    wanted = torch_of(vllm)
    if wanted is not None and (torch is None or Version(torch).release[:2] != Version(wanted).release):
        return f"vLLM {vllm} is built for torch {wanted}, not {torch or 'none'}"
    return None


def check_installed(compute: Compute) -> None:
    """UserError where a cell needs DeepSpeed, Liger or vLLM, and it is missing or does not fit; nothing is imported."""
    if compute.zero and find_spec("deepspeed") is None:
        raise UserError(
            f"compute.zero={compute.zero}: DeepSpeed is not installed; make setup, or: pip install 'rlvr_sweep[gpu]'"
        )
    if compute.liger and find_spec("liger_kernel") is None:
        raise UserError(
            "compute.liger=true: liger-kernel is not installed; make setup, or: pip install 'rlvr_sweep[gpu]'; "
            "or write compute.liger=false"
        )
    if compute.backend == "hf":
        return
    said = f"compute.backend={compute.backend}"
    if find_spec("vllm") is None:
        raise UserError(
            f"{said}: vLLM is not installed (TRL takes {TRL_VLLM}); {INSTALL_VLLM}; or write compute.backend=hf"
        )
    if misfit := vllm_misfit(installed()):
        raise UserError(f"{said}: {misfit}; {INSTALL_VLLM}; or write compute.backend=hf")
