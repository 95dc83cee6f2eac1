"""Finds cells by what a user types: a path, an id or its beginning, a part of the name, a folder, a sweep.

find("3f2a", runs=Path("runs"))             # one cell's directory
find_all(["pilot", "runs-b"], runs)         # those of a sweep and of a folder, and the ids that have none yet

Light: the status of a thousand cells begins here. A folder is listed once, however many cells a sweep names in it.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from rlvr_sweep.cell_dir import index
from rlvr_sweep.errors import UserError
from rlvr_sweep.sweep.manifest import SWEEPS, Manifest, names

SHOWN = 5  # names in a message


def cells_in(runs: Path) -> list[Path]:
    """The directories of cells under `runs`, by name."""
    return sorted(file.parent for file in Path(runs).glob("*/cell.json"))


def sweep_of(ref: str, runs: Path) -> Path | None:
    """The directory of the sweep that `ref` is the path or the name of, or None."""
    places = (Path(ref).expanduser(), Path(runs) / SWEEPS / ref)
    return next((place for place in places if (place / "manifest.jsonl").is_file()), None)


def find(ref: str, runs: Path) -> Path:
    """The directory of one cell, given by path, by its name, by the first digits of its id, or by a part of its name.

    Raises UserError with the nearest names where none or several match.
    """
    path = Path(ref).expanduser()
    if path.is_dir() and ("/" in ref or (path / "cell.json").is_file()):
        return path
    cells = cells_in(runs)
    if not cells:
        raise UserError(f"{ref}: there is no cell in {runs}; run one with: python -m rlvr_sweep, or write --runs DIR")
    ids = {cell: cell.name.rpartition("--")[2] for cell in cells}
    for rule in (
        lambda cell: ref in (cell.name, ids[cell]),
        lambda cell: len(ref) >= 3 and ids[cell].startswith(ref),
        lambda cell: ref in cell.name,
    ):
        found = [cell for cell in cells if rule(cell)]
        if len(found) == 1:
            return found[0]
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            listed = ", ".join(cell.name for cell in found[:SHOWN])
            raise UserError(f"{ref}: {len(found)} cells match: {listed}{more}; write more of the name, or the id")
    known = [*names(Path(runs)), *(cell.name for cell in cells)]
    near = difflib.get_close_matches(ref, known, n=SHOWN, cutoff=0.3) or known[:SHOWN]
    raise UserError(f"{ref}: no such cell or sweep in {runs}; the nearest: {', '.join(near)}")


def find_all(refs: Iterable[str], runs: Path) -> tuple[list[Path], list[str]]:
    """Like `find` for each; a directory of cells, or of a sweep (with its manifest.jsonl), stands for all its cells.

    Returns the directories, each once, and the ids of a sweep's cells that have none yet.
    """
    found: dict[Path, None] = {}
    absent: dict[str, None] = {}
    for ref in refs:
        path = Path(ref).expanduser()
        sweep = sweep_of(ref, runs)
        if sweep is not None:
            there = index(sweep.parent.parent)
            for row in Manifest(sweep).rows:
                if row["cell_id"] in there:
                    found[there[row["cell_id"]]] = None
                else:
                    absent[row["cell_id"]] = None
        elif path.is_dir() and not (path / "cell.json").is_file() and (members := cells_in(path)):
            found |= dict.fromkeys(members)
        elif not path.name.startswith("_"):  # the shell's runs/* gives _sweeps and _samples too
            found[find(ref, runs)] = None
    return list(found), list(absent)
