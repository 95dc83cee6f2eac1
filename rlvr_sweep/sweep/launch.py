"""From a judged grid to what runs: only what is missing is taken, whichever sweep left the rest.

launch(cells, launcher="local", command=sys.argv[1:])

The manifest is written and every directory made before the first cell starts, so that a sweep that is killed at once
is on the record as a whole.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from rlvr_sweep.cell_dir import CellDir, Locked, holder
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.manifest import Manifest, planning, row
from rlvr_sweep.sweep.state import CellState, states, taken, with_queue

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.config.schema import Sweep


def launch(cells: "Sequence[Composed]", *, launcher: str, command: Sequence[str], multirun: bool) -> int:
    """Run what is missing of `cells`, here or under SLURM; the exit code of sweep/local.py, or 0 once submitted."""
    if launcher == "plan":
        from rlvr_sweep.sweep.plan import show

        return show(cells, command=command, multirun=multirun)
    runs = only_runs(cells)
    console = Console()
    with planning(runs):
        manifest = None
        if multirun or launcher == "slurm":
            rows = [row(cell) for cell in cells]
            manifest = Manifest.record(rows, runs=runs, name=cells[0].cell.sweep.name, command=command)
        found = with_queue(states([cell.cell_id for cell in cells], runs))
        settings = cells[0].cell.sweep
        chosen = taken(found, retry=settings.retry, max_failures=settings.max_failures, multirun=multirun)
        if manifest is not None:
            console.print(f"sweep {manifest.name}: {_summary(found)}", highlight=False, soft_wrap=True)
        for line in _left_out(found, chosen, settings, manifest):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        ids = {s.cell_id for s in chosen}
        directories = _prepare([cell for cell in cells if cell.cell_id in ids], console)
        if launcher == "slurm":
            if not directories:
                return 0
            from rlvr_sweep.sweep.slurm import submit

            assert manifest is not None
            return submit(directories, manifest=manifest, console=console)
    from rlvr_sweep.sweep import local

    held = [s for s in found if s.state == "running"]
    if held and not multirun:
        return local.LOCKED
    others = [s.path for s in found if s.path is not None and s.cell_id not in ids]
    return local.run(directories, others=others, settings=settings, console=console)


def only_runs(cells: "Sequence[Composed]") -> Path:
    """The runs folder of a grid: one, so that its manifest has one place."""
    found = sorted({cell.cell.runs for cell in cells})
    if len(found) > 1:
        raise UserError(f"runs={','.join(found)}: the cells of a sweep lie in one folder; write one")
    return Path(found[0])


def _summary(found: Sequence[CellState]) -> str:
    """ "12 cells: 8 done, 4 new"."""
    counts = Counter(s.state for s in found)
    return f"{len(found)} cells: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))


def _left_out(
    found: Sequence[CellState], chosen: Sequence[CellState], settings: "Sweep", manifest: Manifest | None
) -> list[str]:
    """A line for each kind of cell that is not started, with what to do about it."""
    started = {s.cell_id for s in chosen}
    rest = [s for s in found if s.cell_id not in started]
    lines = []
    if manifest is None:
        lines += [f"done already: {s.path}" for s in rest if s.state == "done"]
    failed = [s for s in rest if s.state == "failed"]
    often = [s for s in failed if s.failures >= settings.max_failures]
    name = manifest.ref if manifest else None
    if len(failed) > len(often):
        some = f"{len(failed) - len(often)} failed before and are left alone"
        lines.append(
            f"{some}; see why: python -m rlvr_sweep status {name}; try again: python -m rlvr_sweep retry {name}"
        )
    if often:
        least = max(s.failures for s in often) + 1
        lines.append(
            f"{len(often)} failed {settings.max_failures} times or more; write sweep.max_failures={least} to try again"
        )
    for state in rest:
        if state.state == "running" and state.path is not None:
            lines.append(
                f"rlvr_sweep: {state.path}: is being run by {holder(state.path) or 'a process that just ended'}"
            )
        elif state.state == "queued":
            lines.append(f"{state.path}: waits in SLURM's queue ({state.note})")
    if manifest is not None and not chosen:
        lines.append("nothing to start")
    return lines


def _prepare(cells: "Sequence[Composed]", console: Console) -> list[CellDir]:
    """Directories of the cells that are to run, brought up to date with what the command says of how to run them."""
    directories = []
    for cell in cells:
        directory = CellDir.create(cell)
        try:
            with directory.lock():
                directory.update(cell)
        except Locked as error:
            console.print(f"rlvr_sweep: {error}", highlight=False, soft_wrap=True, markup=False)
            continue
        directories.append(directory)
    return directories
