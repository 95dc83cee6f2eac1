"""`plan`: what a grid would run, what of it is there already, how it departs from the papers, and what it will cost.

python -m rlvr_sweep plan model=lab/qwen_math,lab/llama reward=ground_truth,python seed=range(0,5)
python -m rlvr_sweep -m model=lab/qwen_math,lab/llama seed=0,1 hydra/launcher=plan

It starts nothing and writes nothing. Faults of any cell come in one list.
"""

import argparse
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep import devices
from rlvr_sweep.cell_dir import index
from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser
from rlvr_sweep.sweep.manifest import name_of
from rlvr_sweep.sweep.progress import ORDER, document_of
from rlvr_sweep.sweep.state import CellState, read, taken, with_queue

if TYPE_CHECKING:
    from rich.console import Console

    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.sweep.cost import Cost

LAUNCHER = "hydra/launcher=plan"
ASIDE = ("tracking", "cluster")  # groups whose choice is no part of a cell
PROGRAM = ("python", "-m", "rlvr_sweep")


@dataclass(frozen=True)
class Plan:
    """Cells and where they stand, in the same order; which of them a launch starts; what that costs."""

    cells: "Sequence[Composed]"
    states: list[CellState]
    chosen: list[CellState]
    cost: "Cost"
    faults: list[str]  # directories that a launch cannot go on with
    runs: Path
    name: str | None  # of the sweep; None for a single cell
    command: tuple[str, ...]  # what starts it
    memory: list[str]  # what the cells to start take of a GPU and of the disk, and how many share a GPU
    memory_terms: list[dict[str, Any]]

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(state.state for state in self.states)
        return {state: counted[state] for state in ORDER if counted[state]}

    @property
    def deviations(self) -> dict[str, int]:
        """How cells depart from the papers, each once, and how many do."""
        return dict(Counter(text for cell in self.cells for text in cell.cell.deviations))


def main(argv: list[str]) -> int:
    """The verb `plan`. UserError with all faults of the grid, one a line."""
    args = _parser().parse_intermixed_args(argv)
    if args.config_dir is not None and not args.config_dir.is_dir():
        raise UserError(f"--config-dir {args.config_dir}: no such folder")
    from rlvr_sweep.config.compose import compose

    grid = compose(args.overrides, multirun=True, config_dir=args.config_dir).or_refuse()
    own = ["--config-dir", str(args.config_dir)] if args.config_dir else []
    is_multirun = args.multirun or len(grid.cells) > 1
    command = [*(["-m"] if is_multirun else []), *own, *args.overrides]
    return show(grid.cells, command=command, multirun=is_multirun, as_json=args.json)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep plan",
        description="What a grid would run, what of it is there already, and what it costs. Starts nothing.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for a run; several values span a grid")
    parser.add_argument("-m", "--multirun", action="store_true", help="several values always span a grid here")
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a configuration tree of your own")
    parser.add_argument("--json", action="store_true", help="every cell with its ids, state and overrides, as JSON")
    return parser


def show(
    cells: "Sequence[Composed]",
    *,
    command: Sequence[str],
    multirun: bool,
    as_json: bool = False,
    console: "Console | None" = None,
) -> int:
    """Print the plan of judged cells; 0. `command` is what was typed behind `python -m rlvr_sweep`."""
    found = plan(cells, command=command, multirun=multirun)
    if as_json:
        print(json.dumps(document(found), indent=1, allow_nan=False))
        return 0
    from rich.console import Console

    _draw(found, console or Console(highlight=False, markup=False, emoji=False))
    return 0


def plan(cells: "Sequence[Composed]", *, command: Sequence[str], multirun: bool) -> Plan:
    """Look at runs/ once and work out what is missing. UserError where a directory cannot be read."""
    from rlvr_sweep.sweep import memory, packing
    from rlvr_sweep.sweep.cost import cost
    from rlvr_sweep.sweep.gpus import least_free, smallest
    from rlvr_sweep.sweep.launch import only_runs

    runs = only_runs(cells)
    there = index(runs)
    gpus = devices.gpus_here()
    total = smallest(gpus)
    states = [read(there[c.cell_id]) if c.cell_id in there else _new(c.cell_id) for c in cells]
    states = with_queue(states)
    settings = cells[0].cell.sweep
    chosen = taken(states, retry=settings.retry, max_failures=settings.max_failures, multirun=multirun)
    by_id = {cell.cell_id: cell for cell in cells}
    to_start = [by_id[state.cell_id].cell for state in chosen]
    on_gpus = memory.on_gpus(to_start, gpus)
    return Plan(
        cells=cells,
        states=states,
        chosen=chosen,
        cost=cost([(by_id[state.cell_id], _left(state)) for state in chosen], there, has_gpus=bool(gpus)),
        faults=_faults(there, by_id),
        runs=runs,
        name=name_of(by_id, settings.name) if multirun else None,
        command=(*PROGRAM, *(word for word in command if word != LAUNCHER)),
        memory=[
            *memory.lines(on_gpus, total),
            *packing.lines(on_gpus, free=least_free(gpus), cores=devices.cores_here(), gpus=len(gpus)),
            *memory.disk_lines(to_start, runs),
        ],
        memory_terms=memory.as_json(on_gpus, total),
    )


def document(found: Plan) -> dict[str, Any]:
    """What --json prints."""
    return {
        "name": found.name,
        "runs": str(found.runs),
        "counts": found.counts,
        "to_run": len(found.chosen),
        "deviations": found.deviations,
        "cost": found.cost.as_json(),
        "memory": found.memory_terms,
        "faults": found.faults,
        "command": shlex.join(found.command),
        "cells": [
            {
                "cell_id": cell.cell_id,
                "arm_id": cell.arm_id,
                "seed": cell.cell.seed,
                "slug": cell.slug,
                "state": state.state,
                "path": str(state.path) if state.path else None,
                "overrides": [line.lstrip("+") for line in cell.overrides],
                "deviations": list(cell.cell.deviations),
            }
            for cell, state in zip(found.cells, found.states, strict=True)
        ],
    }


def _new(cell_id: str) -> CellState:
    return CellState(cell_id, None, "new", {})


def _left(state: CellState) -> float:
    """The share of a cell that is still to be done: one that was stopped goes on from there, or a little before."""
    step, steps = state.status.get("step"), state.status.get("steps")
    if not isinstance(step, int) or not isinstance(steps, int) or not 0 <= step <= steps or not steps:
        return 1.0
    return 1.0 - step / steps


def _faults(there: Mapping[str, Path], by_id: Mapping[str, Any]) -> list[str]:
    """Cells of the grid whose directories are of another version, or damaged."""
    from rlvr_sweep.config.faults import shortened

    found = []
    for cell_id in by_id:
        try:
            if cell_id in there and (there[cell_id] / "cell.json").exists():  # one without it is made anew
                document_of(there[cell_id])
        except UserError as error:
            found.append(str(error))
    return shortened(found)


def _draw(found: Plan, console: "Console") -> None:
    from rlvr_sweep.sweep import arms

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=not console.is_terminal)

    count, in_arms = len(found.cells), arms.count(found.cells)
    states = ", ".join(f"{number:,} {state}" for state, number in found.counts.items())
    grid = f" in {in_arms:,} arm{'s' * (in_arms != 1)}" if count > 1 else ""
    say(f"{count:,} cell{'s' * (count != 1)}{grid}: {states}", style="bold")
    if common := _common(found.cells):
        say(f"all with {common}")
    experiments = {cell.cell.choices.get("experiment") for cell in found.cells}
    for line in _about(*experiments) if len(experiments) == 1 else ():
        say(line, style="dim")
    for text, number in _lengths(found.cells):
        say(text if number == count else f"{text} ({number:,} of {count:,} cells)")
    console.print()
    console.print(arms.table(found.cells, [state.state for state in found.states]), crop=False)
    console.print()
    for text, number in found.deviations.items():
        say(f"deviates ({'all' if number == count else f'{number:,} of {count:,}'} cells): {text}", style="yellow")
    for line in [*found.faults, *_left_out(found)]:
        say(line, style="yellow")
    for line in [*found.cost.lines(), *found.memory]:
        say(line)
    if found.chosen:
        start = f"start {len(found.chosen):,} cell{'s' * (len(found.chosen) != 1)}"
        console.print(f"{start}: {shlex.join(found.command)}", soft_wrap=True)  # to be copied
    else:
        say("nothing to start")


def _common(cells: "Sequence[Composed]") -> str:
    """The choices that all cells share, of those that make a cell what it is."""
    shared = {group: choice for group, choice in cells[0].cell.choices.items() if group not in ASIDE}
    for cell in cells:
        shared = {group: choice for group, choice in shared.items() if cell.cell.choices.get(group) == choice}
    return " ".join(f"{group}={choice}" for group, choice in reversed(shared.items()))


def _about(experiment: str | None) -> list[str]:
    """What a shipped experiment's file says of itself: its figure, its cells, their GPU-hours."""
    from itertools import takewhile

    from rlvr_sweep.config.tree import conf_dir

    file = conf_dir() / "experiment" / f"{experiment}.yaml"
    if experiment is None or not file.is_file():
        return []
    head = takewhile(lambda line: line.startswith("# "), file.read_text().splitlines()[1:])
    return [line.removeprefix("# ") for line in head]


def _lengths(cells: "Sequence[Composed]") -> list[tuple[str, int]]:
    """What cells count in rollouts, in optimizer steps too; each once, and how many cells it is of."""
    made = Counter(cell.batch for cell in cells)
    return [
        (
            f"{b.rollouts:,} rollout{'s' * (b.rollouts != 1)} of {b.prompts:,} prompts x {b.completions} completions, "
            f"{b.updates} update{'s' * (b.updates != 1)} each: {b.optimizer_steps:,} optimizer steps",
            number,
        )
        for b, number in made.items()
    ]


def _left_out(found: Plan) -> list[str]:
    """What a launch does not take although it is not done."""
    failed = sum(state.state == "failed" for state in found.states) - sum(s.state == "failed" for s in found.chosen)
    if not failed:
        return []
    name = f" {found.name}" if found.name else ""
    return [
        f"{failed:,} failed before and are left alone; why: python -m rlvr_sweep status{name}; retry: sweep.retry=true"
    ]
