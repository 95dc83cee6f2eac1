"""Is the installation sound: the interpreter, packages within their ranges, files, torch and its GPUs, the grader.

    for row in (python, files, torch_build, grader): print(row())

Nothing heavy is imported here: torch and the grader are asked in processes of their own, so that a broken install is
a row and no crash.
"""

import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from rlvr_sweep import __version__, devices, source
from rlvr_sweep.config.tree import PACKAGE, conf_dir
from rlvr_sweep.doctor.machine import Check
from rlvr_sweep.source import CHECKOUT, is_checkout

PROBE_S = 120  # a cold `import torch` over a cluster's file system takes its time
SHOWN = ("trl", "torch", "transformers", "vllm", "deepspeed")

TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_properties(i) for i in range(count)]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda,
                  "gpus": [f"{g.name} {g.total_memory / 2**30:.0f} GiB" for g in gpus]}))
"""
GRADER = "from rlvr_sweep.grading.symbolic import self_test; self_test()"


def python() -> Check:
    """The interpreter: 3.11 to 3.13."""
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("Python", "ok", f"{version}, {sys.executable}")
    return Check("Python", "fail", version, "use Python 3.11, 3.12 or 3.13: PYTHON=python3.12 make setup")


def pins() -> tuple[list[str], list[str]]:
    """What the package requires and what its extras do: the installed metadata, else the clone's pyproject.toml."""
    try:
        lines = metadata.requires("rlvr_sweep") or []
    except metadata.PackageNotFoundError:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project["dependencies"], [line for extra in project["optional-dependencies"].values() for line in extra]
    bare = [(line.split(";")[0].strip(), "extra ==" in line) for line in lines]
    return [line for line, extra in bare if not extra], [line for line, extra in bare if extra]


def packages(needed: Iterable[str], extras: Iterable[str]) -> Check:
    """Each installed package against its range; one of `needed` that is missing fails, one of `extras` may be."""
    from packaging.requirements import Requirement

    required = [Requirement(line) for line in needed]
    wrong: dict[str, str] = {}  # requirement -> what is the matter with it
    have: dict[str, str] = {}
    for requirement in [*required, *map(Requirement, extras)]:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            if requirement in required:
                wrong[str(requirement)] = f"{requirement.name} is missing"
            continue
        have[requirement.name] = version
        if not requirement.specifier.contains(version, prereleases=True):
            wrong[str(requirement)] = f"{requirement.name} {version} is not {requirement.specifier}"
    if wrong:
        install = "pip install " + " ".join(f"'{line}'" for line in wrong)
        return Check("packages", "fail", "; ".join(wrong.values()), "make setup" if is_checkout() else install)
    shown = ", ".join(f"{name} {have[name]}" for name in SHOWN if name in have)
    return Check("packages", "ok", f"{len(have)} within their ranges: {shown}")


def files() -> Check:
    """conf/ and the lab's models, which a broken wheel would lack."""
    models = sorted(p.parent.name for p in (PACKAGE / "lab" / "models").glob("*/model.safetensors"))
    if not (conf_dir() / "config.yaml").is_file():
        return Check("files", "fail", f"no {conf_dir()}/config.yaml", "install the package again")
    if not models:
        return Check(
            "files",
            "fail",
            f"no lab model in {PACKAGE / 'lab' / 'models'}",
            "python -m rlvr_sweep lab build, or install again",
        )
    return Check("files", "ok", f"{conf_dir()}; lab models {', '.join(models)}")


def _probe(code: str) -> subprocess.CompletedProcess[str] | None:
    """Run `code` in a fresh interpreter that finds this package; None where it takes longer than PROBE_S."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    try:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return None


def last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def judge_torch(facts: dict[str, Any], *, driver_gpus: int) -> Check:
    """`facts` as TORCH prints them, against the number of GPUs that the driver lists."""
    build = f"{facts['version']}, {'CUDA ' + facts['cuda'] if facts['cuda'] else 'CPU build'}"
    if facts["gpus"]:
        return Check("torch", "ok", f"{build}: {len(facts['gpus'])} x {facts['gpus'][0]}")
    if driver_gpus and not facts["cuda"]:
        return Check("torch", "warn", f"{build}, but the driver lists {driver_gpus} GPU(s)", "DEVICE=gpu make setup")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if driver_gpus and hidden is not None:
        return Check("torch", "warn", f"{build}, no GPU: CUDA_VISIBLE_DEVICES={hidden!r}", "unset CUDA_VISIBLE_DEVICES")
    if driver_gpus:
        remedy = (
            "compare the driver's CUDA version (nvidia-smi) with torch's; update the driver, or DEVICE=cpu make setup"
        )
        return Check("torch", "fail", f"{build}, the driver lists {driver_gpus} GPU(s) and torch sees none", remedy)
    return Check("torch", "ok", f"{build}, no GPU here: lab cells run, large models need one")


def torch_build() -> Check:
    """torch's build and the GPUs it sees."""
    done = _probe(TORCH)
    if done is None:
        return Check("torch", "fail", f"import torch took more than {PROBE_S} s", "put .venv on a local disk")
    if done.returncode:
        return Check("torch", "fail", last_line(done.stderr), "make setup" if is_checkout() else "pip install torch")
    return judge_torch(json.loads(last_line(done.stdout)), driver_gpus=len(devices.gpus()))


def grader() -> Check:
    """The grader's self-test: percent answers do not parse with the antlr that hydra pins, unless mended."""
    done = _probe(GRADER)
    versions = ", ".join(f"{n} {_version(n)}" for n in ("math-verify", "sympy", "antlr4-python3-runtime"))
    if done is None or done.returncode:
        what = last_line(done.stderr) if done is not None else f"no answer within {PROBE_S} s"
        return Check(
            "grader",
            "fail",
            f"{what} ({versions})",
            "make setup" if is_checkout() else "pip install math-verify==0.9.0",
        )
    return Check("grader", "ok", f"self-test passed: {versions}")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def commit() -> Check:
    """The commit that results will be recorded under."""
    found = source.commit()
    if found is None:
        if not is_checkout():
            return Check("source", "ok", f"rlvr_sweep {__version__}, installed")
        remedy = f"results will record none; use a git clone (and git), or export {source.VARIABLE}=..."
        return Check("source", "warn", f"rlvr_sweep {__version__}, {CHECKOUT} has no commit", remedy)
    changed = len((source.git("status", "--porcelain") or "").splitlines())
    said = f"commit {found[:12]}" + (f", {changed} file(s) changed since" if changed else "")
    remedy = "commit before a run that you will report" if changed else ""
    return Check("source", "warn" if changed else "ok", said, remedy)
