"""`doctor --probe`: two optimizer steps of a cell by the worker that a sweep starts, in a temporary folder.

    found = probe(["model=shape/qwen2_5_7b", "compute=zero2_x4"])
    found.passed, found.seconds, found.log, found.cause

The cell is the one that the overrides make, cut to its first rollout (two of one update): no evaluations, no
checkpoint, no model kept, no W&B. A folder is left behind only where it failed; Ctrl-C ends it at once.
"""

import dataclasses
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rlvr_sweep import devices
from rlvr_sweep.bench.running import lease, run_cell, stoppable
from rlvr_sweep.causes import cause
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config import content, rules
from rlvr_sweep.config.compose import Composed, compose_or_refuse
from rlvr_sweep.config.schema import Cell, Eval
from rlvr_sweep.protocol import DONE
from rlvr_sweep.sweep.nodes import check as check_nodes

STEPS = 2
LINES = 15  # of the log, shown where it failed


@dataclasses.dataclass
class Probed:
    """What came of it. `memory_gb`: the most that was in use on a GPU, or that a process held of the machine's memory
    where there is no GPU."""

    cell: str
    rollouts: str
    steps: int
    passed: bool
    seconds: float
    phases: dict[str, float]
    memory_gb: float
    on_gpu: bool
    reason: str | None = None
    cause: str | None = None
    log: list[str] = dataclasses.field(default_factory=list)
    folder: str | None = None


def shortened(cell: Cell, runs: Path) -> Cell:
    """The same cell, but for what comes after its first rollout and what would be kept."""
    rollouts = 1 if rules.arm(cell).updates >= STEPS else STEPS
    kept = {"checkpoint_every": 0, "keep_model": False}
    return cell.model_copy(
        update={
            "algo": cell.algo.model_copy(update={"rollouts": rollouts}),
            "clip": cell.clip.model_copy(update={"match": "rollouts"}),  # so many, whatever the arm
            "eval": Eval(name="none", benchmarks={}, every=0, before=False),
            "compute": cell.compute.model_copy(update=kept),
            "tracking": cell.tracking.model_copy(update={"mode": "off"}),
            "runs": str(runs),
        }
    )


def probe(lines: list[str]) -> Probed:
    """Run it. UserError where the overrides make no cell, or one that could never start here."""
    composed = compose_or_refuse(lines, multirun=False)[0]
    folder = Path(tempfile.mkdtemp(prefix="rlvr-probe-"))
    cell = shortened(composed.cell, folder)
    short = Composed(cell=cell, overrides=composed.overrides, hashes=content.facts(cell).hashes, batch=rules.arm(cell))
    try:
        with stoppable():
            found = _run(short)
    except BaseException:  # Ctrl-C too: only what failed leaves its log
        shutil.rmtree(folder)
        raise
    if found.passed:
        shutil.rmtree(folder)
    return found


def _run(composed: Composed) -> Probed:
    from rlvr_sweep.sweep.logs import last_lines, newest

    directory, batch = CellDir.create(composed), composed.batch
    check_nodes(composed.cell.compute.nodes)
    given = lease(directory)
    began = time.monotonic()
    with devices.Peak(given.gpus) as peak:
        code = run_cell(directory, given, lambda said: print(said, file=sys.stderr, flush=True))
    seconds = time.monotonic() - began
    # Of the machine's memory: the largest process that has ended; in kilobytes.
    size = peak.bytes or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    updates = f"{batch.updates} update{'s' * (batch.updates > 1)}"
    found = Probed(
        cell=composed.slug,
        rollouts=f"{batch.rollouts} of {batch.prompts} prompts x {batch.completions} completions, {updates} each",
        steps=batch.optimizer_steps,
        passed=code == DONE,
        seconds=round(seconds, 1),
        phases=_phases(directory.path / "phases.json"),
        memory_gb=round(size / 1e9, 2),
        on_gpu=bool(peak.bytes),
    )
    if not found.passed:
        log = newest(directory.path)
        found.log = last_lines(log, LINES) if log else []
        found.reason = str(directory.read_status().get("reason") or f"exit code {code}")
        found.cause = cause("\n".join([found.reason, *(last_lines(log, 200) if log else [])]))
        found.folder = str(directory.path)
    return found


def _phases(file: Path) -> dict[str, float]:
    return {k: round(v, 1) for k, v in json.loads(file.read_text()).items()} if file.is_file() else {}


def show(found: Probed) -> None:
    """Print it."""
    where = "on a GPU" if found.on_gpu else "a process"
    print(f"probe: {found.cell}\nrollouts: {found.rollouts}")
    ended = f"passed: {found.steps} updates in" if found.passed else "FAILED after"
    print(f"{ended} {found.seconds:.0f} s, at most {found.memory_gb:.2g} GB {where}")
    if found.phases:
        print("seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in found.phases.items()))
    if found.passed:
        return
    print(f"reason: {found.reason}")
    if found.cause and found.cause not in str(found.reason):
        print(f"likely cause: {found.cause}")
    print(f"the end of its log, in {found.folder}:")
    print("\n".join(f"  {line}" for line in found.log))
