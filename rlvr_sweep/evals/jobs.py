"""What label, align, probe and baseline share: from a command's words to jobs, and the process that samples them.

    cells = compose(["model=lab/qwen,lab/olmo", "eval=lab"])
    done = sample([benchmark_job(cell, "add", samples=64, temperature=1.0) for cell in cells])

Several values are several models. One process a model does the sampling, so that this one imports no torch and a model
leaves the GPU before the next one comes.
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.store import Store
from rlvr_sweep.lifeline import dies_with_parent
from rlvr_sweep.parser import Parser

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.config.schema import Cell

# Nothing is trained: a training command can be given as it is, and its labels need not be there yet.
NEUTRAL = (
    "reward=ground_truth",
    "data.labels=null",
    "data.label_filter=all",
    "data.empty_labels=drop",
    "data.repeat=true",
)
OF_A_PROMPT = ("template", "templates", "stop", "prefix", "name", "family", "note")  # of a model, not of its weights


def parser(verb: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """The options that all four verbs have."""
    made = Parser(
        prog=f"python -m rlvr_sweep {verb}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("overrides", nargs="*", metavar="key=value", help="choices and keys, as for a run; model=A,B")
    made.add_argument("-m", "--multirun", action="store_true", help="as for a run; here several values always span")
    made.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a configuration tree of your own")
    made.add_argument("--json", action="store_true", help="the numbers as JSON")
    return made


def temperature(text: str) -> float:
    """A sampling temperature; 0 is greedy. For argparse."""
    return _between(text, 0, 100, "a temperature of 0 (greedy) or more")


def share(text: str) -> float:
    """A number from 0 to 1. For argparse."""
    return _between(text, 0, 1, "a share from 0 to 1")


def top_p(text: str) -> float:
    """The mass of the likeliest tokens that are sampled from. For argparse."""
    return _between(text, 1e-6, 1, "a share above 0, up to 1")


def _between(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:  # nor is nan
        raise argparse.ArgumentTypeError(f"{text!r}: write {what}")
    return value


def compose(lines: Sequence[str], *fixed: str, config_dir: Path | None = None) -> "list[Composed]":
    """The judged cells of a command; sweeps span several. UserError with all faults.

    `fixed` lines count over the command's own, as do those that make a cell independent of its reward."""
    from rlvr_sweep.config.compose import compose as compose_grid

    for word in lines:
        if "=" not in word:
            raise UserError(f"{word}: not key=value; see --help")
    if config_dir is not None and not config_dir.is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder")
    grid = compose_grid([*lines, *NEUTRAL, *fixed], multirun=True, config_dir=config_dir and config_dir.resolve())
    if grid.launcher not in (None, "local"):
        raise UserError(f"hydra/launcher={grid.launcher}: this verb samples here; run it under srun or sbatch instead")
    return grid.or_refuse().cells


def with_model(cell: "Cell", **changes: Any) -> "Cell":
    """The cell with other settings of its model. UserError where one of them is none."""
    from pydantic import ValidationError

    try:
        model = type(cell.model).model_validate(cell.model.model_dump() | changes)
    except ValidationError as error:
        [first, *_] = error.errors()
        what = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"model.{'.'.join(map(str, first['loc']))}: {what}") from None
    return cell.model_copy(update={"model": model})


def benchmark_job(
    composed: "Composed", name: str, *, cell: "Cell | None" = None, percent: int | None = None, **sampling: Any
) -> Job:
    """A job for one benchmark of a cell. `sampling` replaces what the benchmark says: samples, temperature, top_p,
    max_completion_tokens; None leaves it. `cell`: the composed cell with another template."""
    cell = cell or composed.cell
    bench = cell.eval.benchmarks[name]
    changes = {key: value for key, value in sampling.items() if value is not None}
    if changes.get("temperature", bench.temperature) == 0:
        changes["samples"] = 1  # greedy samples are all the same
    bench = bench.model_copy(update=changes)
    cell = cell.model_copy(update={"eval": cell.eval.model_copy(update={"benchmarks": {name: bench}, "path": None})})
    return Job("benchmark" if percent is None else "prefix", cell, composed.hashes, percent)


def need_benchmarks(cells: "Sequence[Composed]") -> None:
    """UserError where a cell has none."""
    for composed in cells:
        if not composed.cell.eval.benchmarks:
            raise UserError(f"eval={composed.cell.eval.name}: has no benchmark; write eval=lab, or another choice")


def model_names(cells: "Sequence[Cell]") -> list[str]:
    """What to call each cell's model in a table: its name, and where that says too little its folder and template."""
    paths = {cell.model.path for cell in cells if cell.model.name == "path"}
    templates: dict[str, set[str]] = {}
    for cell in cells:
        templates.setdefault(cell.model.name, set()).add(cell.model.template)
    names = []
    for cell in cells:
        name = str(Path(cell.model.path).name) if cell.model.name == "path" and cell.model.path else cell.model.name
        if len(paths) > 1 and cell.model.name == "path" and len({Path(p).name for p in paths if p}) < len(paths):
            name = str(cell.model.path)
        names.append(f"{name} ({cell.model.template})" if len(templates[cell.model.name]) > 1 else name)
    return names


def sample(jobs: Sequence[Job]) -> tuple[dict[str, Store], int]:
    """Sample what is missing of the jobs; the stores by job id, and the exit code of the worst process.

    A job that cannot be done (its process has said why) keeps the others from nothing."""
    stores = {job.id: Store.create(job) for job in {job.id: job for job in jobs}.values()}
    wanted: dict[str, int] = {}
    for job in jobs:
        wanted[job.id] = max(wanted.get(job.id, 0), job.benchmark.samples)
    by_model: dict[str, list[str]] = {}
    for job_id, store in stores.items():
        if store.missing(samples=wanted[job_id]) != []:
            by_model.setdefault(_weights(store.job), []).append(f"{wanted[job_id]}:{store.path}")
    code = 0
    for words in by_model.values():
        code = max(code, _process(words))
    return stores, code


def _weights(job: Job) -> str:
    """What one loading of a model serves."""
    model = job.cell.model.model_dump(mode="json", exclude=set(OF_A_PROMPT))
    return json.dumps([model, job.cell.compute.model_dump(mode="json")], sort_keys=True)


def _process(words: Sequence[str]) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "rlvr_sweep.train.sampler", *words],
        check=False,
        preexec_fn=dies_with_parent(signal.SIGTERM),  # not to sample on where the command was killed
    )
    if done.returncode < 0:
        print(
            f"rlvr_sweep: the sampling process was ended by signal {-done.returncode}; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        return 1
    return done.returncode
