"""Submits cells as SLURM job arrays, and returns at once.

    submit(directories, manifest=manifest, console=Console())

Cells that ask for the same resources share an array; a task of it runs `cluster.pack` cells by the local scheduler
(task.py). Everything a task reads is frozen at submission: the script, the list of cells, the code. Where an array
would be longer than the cluster allows, several are made.
"""

import json
import math
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rlvr_sweep.cell_dir import CellDir, Locked, write_atomically
from rlvr_sweep.config.schema import Cluster
from rlvr_sweep.config.tree import launch_dir
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes.memory import saving_seconds
from rlvr_sweep.sweep.manifest import Manifest
from rlvr_sweep.sweep.queue import Unknown, ask, seconds_of
from rlvr_sweep.sweep.slots import Need, need
from rlvr_sweep.sweep.snapshot import snapshot

CORES_A_GPU = 8
NOTICE_S = 120  # before the time limit, besides what is reckoned for a checkpoint
ARRAY = 1000  # tasks in an array where the cluster's own limit is not known


@dataclass(frozen=True)
class Request:
    """What a task asks of SLURM, on each of its nodes."""

    cluster: Cluster
    nodes: int
    gpus: int
    cpus: int
    signal_s: int


def request(cells: Sequence[CellDir]) -> Request:
    """What a task asks for that is to run any of `cells`, which share cluster and number of nodes."""
    cluster, compute = cells[0].cell.cluster, cells[0].cell.compute
    if compute.device == "auto" and cluster.gpus is None and any(not _is_lab(d) for d in cells):
        raise UserError(
            "compute.device=auto does not say what to ask SLURM for; write compute=gpu, compute=cpu or cluster.gpus=N"
        )
    needs = [_need(directory) for directory in cells]
    gpus = cluster.gpus if cluster.gpus is not None else max(n.gpus for n in needs)
    cores = max(n.cores for n in needs) * min(cluster.pack, len(cells))
    cpus = cluster.cpus or (CORES_A_GPU * gpus if gpus else cores)
    return Request(cluster, compute.nodes, gpus, cpus, _notice(cells, cluster))


def _notice(cells: Sequence[CellDir], cluster: Cluster) -> int:
    """Seconds before the time limit at which SLURM tells the task."""
    limit = seconds_of(cluster.time) or math.inf  # 0 is SLURM's word for none
    if cluster.signal_s is None:
        together = min(cluster.pack, len(cells))
        saving = together * max(saving_seconds(directory.cell) for directory in cells)
        return max(1, round(min(NOTICE_S + saving, limit / 4)))
    if cluster.signal_s >= limit:  # a task would be told before it has begun, and go back into the queue for ever
        raise UserError(
            f"cluster.signal_s={cluster.signal_s}: not less than cluster.time={cluster.time}; write a longer time, or "
            "cluster.signal_s=null"
        )
    return cluster.signal_s


def _is_lab(directory: CellDir) -> bool:
    """A lab model does well on a core."""
    return str(directory.document["cell"]["model"].get("path") or "").startswith("lab:")


def _need(directory: CellDir) -> Need:
    """What a cell takes on its node. A node has the GPUs that are asked for, whatever this machine has."""
    cell = directory.cell
    return need(cell.compute, has_gpus=bool(cell.cluster.gpus))


def submit(directories: Sequence[CellDir], *, manifest: Manifest, console: Console) -> int:
    """Queue the cells; 0. Raises UserError where sbatch is missing or refuses: what was queued before stays queued."""
    limit = _array_limit()  # before anything is written: fails where there is no SLURM
    code = snapshot(manifest.path.parents[1])
    groups: dict[str, list[CellDir]] = {}
    for directory in directories:
        cell, wanted = directory.cell, _need(directory)
        key = json.dumps([cell.cluster.model_dump(), cell.compute.nodes, wanted.gpus, wanted.cores])
        groups.setdefault(key, []).append(directory)
    for cells in groups.values():
        asked = request(cells)
        pack = asked.cluster.pack
        tasks = [cells[i : i + pack] for i in range(0, len(cells), pack)]
        for start in range(0, len(tasks), limit):
            part = tasks[start : start + limit]
            job = _submit_array(part, asked, manifest, code)
            what = f"{sum(len(t) for t in part)} cells in {len(part)} tasks"
            console.print(f"job {job}: {what}", highlight=False, markup=False, soft_wrap=True)
    name = manifest.ref
    for verb, purpose in (("status", "how it goes"), ("logs", "why one failed"), ("cancel", "stop it")):
        console.print(
            f"  python -m rlvr_sweep {verb} {name:<24} # {purpose}", highlight=False, markup=False, soft_wrap=True
        )
    return 0


def _array_limit() -> int:
    """How many tasks one array may have. UserError where there is no SLURM."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]))
    except Unknown as error:
        raise UserError(
            f"hydra/launcher=slurm: {error}; start it on a login node of the cluster, or write hydra/launcher=local"
        ) from None
    return int(found[1]) if found else ARRAY  # indices are below it, and ours begin at 0


def _submit_array(tasks: Sequence[Sequence[CellDir]], asked: Request, manifest: Manifest, code: Path) -> str:
    """One array; its job id, which every cell's status then names."""
    taken = [int(p.name) for p in (manifest.path / "submissions").glob("*") if p.name.isdigit()]
    folder = (manifest.path / "submissions" / str(max(taken, default=0) + 1)).resolve()
    folder.mkdir(parents=True)
    lines = [json.dumps({"cells": [str(cell.path.resolve()) for cell in task]}) for task in tasks]
    write_atomically(folder / "tasks.jsonl", "\n".join(lines) + "\n")
    script = folder / "array.sbatch"
    write_atomically(script, render(asked, tasks=len(tasks), name=manifest.name, submission=folder, code=code))
    try:
        # Paths go here, where nothing has to be quoted.
        places = [f"--output={folder}/%a.log", f"--chdir={Path.cwd()}"]
        job = ask(["sbatch", "--parsable", *places, str(script)]).strip().split(";")[0]
    except Unknown as error:
        reason = re.sub(r"^((sbatch|error): )+", "", str(error))
        raise UserError(
            f"SLURM refused the array: {reason}; the script is {script}, its settings are cluster.*"
        ) from None
    write_atomically(folder / "job.json", json.dumps({"job": job, "time": time.time(), "code": str(code)}) + "\n")
    for number, task in enumerate(tasks):
        for directory in task:
            _mark(directory, f"{job}_{number}", log=folder / f"{number}.log")
    return job


def _mark(directory: CellDir, job: str, *, log: Path) -> None:
    """Say in the cell's status which task will run it, unless that has begun already."""
    try:
        with directory.lock():
            if directory.read_status().get("job") != job:
                directory.status(state="pending", job=job, job_log=str(log), reason=None)
    except Locked:
        return  # it runs: its worker has said so


def render(asked: Request, *, tasks: int, name: str, submission: Path, code: Path) -> str:
    """The sbatch script of an array (launch/slurm.sbatch.j2)."""
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    template = environment.from_string((launch_dir() / "slurm.sbatch.j2").read_text())
    return template.render(
        cluster=asked.cluster,
        pack=asked.cluster.pack,
        nodes=asked.nodes,
        gpus=asked.gpus,
        cpus=asked.cpus,
        signal_s=asked.signal_s,
        tasks=tasks,
        name=name,
        submission=submission,
        folder=Path.cwd(),
        code=code,
        python=sys.executable,
    )
