"""`python -m rlvr_sweep doctor`: is this machine ready? One row a check: ok, warn or fail, what was found, what to do.

    python -m rlvr_sweep doctor
    python -m rlvr_sweep doctor --json | python -m json.tool

Nothing heavy is imported here: torch and the grader are asked in processes of their own, so that a broken install is
a row and no crash.
"""

import json
import netrc
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from rlvr_sweep import __version__
from rlvr_sweep.config.tree import PACKAGE, conf_dir
from rlvr_sweep.machine import Check
from rlvr_sweep.machine import rows as machine_rows
from rlvr_sweep.parser import Parser

CHECKOUT = PACKAGE.parent  # of a clone; site-packages when installed from a wheel
PROBE_S = 120  # a cold `import torch` over a cluster's file system takes its time
FULL_GIB, LOW_GIB = 1, 20  # free space: a lab cell needs megabytes, a 7B checkpoint with its optimizer about 90 GiB
SHOWN = ("trl", "torch", "transformers", "vllm", "deepspeed")

TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_properties(i) for i in range(count)]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda,
                  "gpus": [f"{g.name} {g.total_memory / 2**30:.0f} GiB" for g in gpus]}))
"""
GRADER = "from rlvr_sweep.grading.symbolic import self_test; self_test()"


def is_checkout() -> bool:
    """Whether the package runs from a clone (or an editable install of one) and not from a wheel."""
    return (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "conf").is_dir()


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


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def _driver_gpus() -> int:
    """How many GPUs the NVIDIA driver lists; 0 without one."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


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
        return Check("torch", "fail", _last_line(done.stderr), "make setup" if is_checkout() else "pip install torch")
    return judge_torch(json.loads(_last_line(done.stdout)), driver_gpus=_driver_gpus())


def grader() -> Check:
    """The grader's self-test: percent answers do not parse with the antlr that hydra pins, unless mended."""
    done = _probe(GRADER)
    versions = ", ".join(f"{n} {_version(n)}" for n in ("math-verify", "sympy", "antlr4-python3-runtime"))
    if done is None or done.returncode:
        what = _last_line(done.stderr) if done is not None else f"no answer within {PROBE_S} s"
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


def disk(runs: Path) -> Check:
    """Whether `runs`, or the folder it will be made in, can be written to and has room."""
    place = runs.absolute()
    try:
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x")
    except OSError as error:
        return Check("runs", "fail", f"{place}: {error.strerror}", "choose a folder that can be written to: runs=DIR")
    free = shutil.disk_usage(place).free / 2**30
    found = f"{runs.absolute()}, {free:.0f} GiB free"
    if free < FULL_GIB:
        return Check("runs", "fail", found, "make room, or choose another disk: runs=DIR")
    if free < LOW_GIB:
        return Check("runs", "warn", found, "enough for the lab; a 7B checkpoint with its optimizer takes about 90 GiB")
    return Check("runs", "ok", found)


def hub() -> Check:
    """The Hugging Face cache, offline mode, and whether there is a token (for gated models; never printed)."""
    try:
        from huggingface_hub import constants, get_token
    except ImportError as error:
        return Check("hub", "fail", str(error), "make setup" if is_checkout() else "pip install huggingface-hub")
    cache = Path(constants.HF_HUB_CACHE)
    try:
        held = [p.name for p in cache.iterdir()] if cache.is_dir() else []
    except OSError as error:
        return Check(
            "hub", "fail", f"{cache}: {error.strerror}", "export HF_HOME= a folder that can be read and written"
        )
    models, sets = (sum(name.startswith(kind) for name in held) for kind in ("models--", "datasets--"))
    token = "a token" if get_token() else "no token"
    mode = "offline" if constants.HF_HUB_OFFLINE else "online"
    found = f"{mode}, {token}, {models} models and {sets} datasets in {cache}"
    if constants.HF_HUB_OFFLINE and not models + sets:
        remedy = "fine for the lab and local files; else, on a node with network: python -m rlvr_sweep prefetch"
        return Check("hub", "warn", found, remedy)
    return Check("hub", "ok", found)


def _wandb_key() -> str | None:
    """Where a W&B key is, never the key itself; None without one. NetrcParseError, OSError: an unreadable netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not path.is_file():
        return None
    own = urlparse(os.environ.get("WANDB_BASE_URL", "")).hostname
    hosts = netrc.netrc(str(path)).hosts
    return str(path) if any(h == own or "wandb" in h or h.endswith("coreweave.com") for h in hosts) else None


def wandb() -> Check:
    """The W&B mirror: mode and whether a key is there. Local files are the record, so nothing here can fail a cell."""
    mode = os.environ.get("WANDB_MODE", "")
    try:
        key = _wandb_key()
    except (netrc.NetrcParseError, OSError) as error:
        return Check(
            "W&B",
            "warn",
            f"netrc cannot be read: {_last_line(str(error)).split(',')[0]}",
            "mend it, or export WANDB_API_KEY",
        )
    said = f"WANDB_MODE={mode}, " if mode else ""
    if key is None and mode == "online":
        return Check("W&B", "warn", f"{said}no key", "export WANDB_API_KEY=..., or: wandb login")
    if key is None:
        return Check(
            "W&B", "ok", f"{said}no key: runs are kept on disk (tracking=offline), wandb sync uploads them later"
        )
    return Check("W&B", "ok", f"{said}key in {key}; tracking=online mirrors runs as they go")


def commit() -> Check:
    """The commit that results will be recorded under."""
    if not is_checkout():
        return Check("source", "ok", f"rlvr_sweep {__version__}, installed")
    if shutil.which("git") is None:
        return Check(
            "source",
            "warn",
            f"rlvr_sweep {__version__}, git is not installed",
            "results will record no commit; install git",
        )

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        own = {**os.environ, "GIT_CEILING_DIRECTORIES": str(CHECKOUT.parent)}  # no repository that happens to lie above
        return subprocess.run(
            ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=False, env=own
        )

    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode:
        return Check("source", "warn", f"{CHECKOUT} has no commit", "results will record no commit; use a git clone")
    changed = len(git("status", "--porcelain").stdout.splitlines())
    found = f"commit {head.stdout.strip()}" + (f", {changed} file(s) changed since" if changed else "")
    remedy = "commit before a run that you will report" if changed else ""
    return Check("source", "warn" if changed else "ok", found, remedy)


def threads() -> Check:
    """OMP_NUM_THREADS: cells side by side fight for cores when each takes them all."""
    said, cores = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1
    if said is None:
        return Check(
            "threads",
            "ok",
            f"OMP_NUM_THREADS is not set: a cell takes 1 of {cores} cores unless compute.threads says more",
        )
    if not said.isdigit() or int(said) == 0:
        return Check("threads", "fail", f"OMP_NUM_THREADS={said!r} is no number of threads", "export OMP_NUM_THREADS=1")
    if int(said) > cores:
        return Check("threads", "warn", f"OMP_NUM_THREADS={said} on {cores} cores", "export OMP_NUM_THREADS=1")
    return Check("threads", "ok", f"OMP_NUM_THREADS={said} of {cores} cores")


def examine(runs: Path) -> list[Check]:
    """All checks, in the order in which they are shown."""
    rows: list[Callable[[], Check]] = [
        python,
        lambda: packages(*pins()),
        files,
        torch_build,
        *machine_rows(),
        grader,
        lambda: disk(runs),
        hub,
        wandb,
        commit,
        threads,
    ]
    return [row() for row in rows]


def show(checks: list[Check]) -> None:
    """Print the table, and the verdict below it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    if advice := any(check.remedy for check in checks):
        table.add_column("what to do", overflow="fold")
    colour = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for check in checks:
        table.add_row(
            check.name, Text(check.state, colour[check.state]), Text(check.found), *[Text(check.remedy)] * advice
        )
    console = Console()
    console.print(table)
    failed = [check.name for check in checks if check.state == "fail"]
    console.print(f"not ready: {', '.join(failed)}" if failed else "ready")


def main(argv: list[str]) -> int:
    """The verb `doctor`. Returns 1 if a check fails, else 0."""
    parser = Parser(prog="python -m rlvr_sweep doctor", description="Is this machine ready? Exits 1 if a check fails.")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where run directories will lie (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    options = parser.parse_args(argv)
    checks = examine(options.runs)
    if options.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        show(checks)
    return int(any(check.state == "fail" for check in checks))
