"""`gc`: what of the disk can be had back: checkpoints of done cells, half-written and set-aside files. Dry by default.

    python -m rlvr_sweep gc                # lists it, with sizes
    python -m rlvr_sweep gc SWEEP --yes    # removes it

No record is ever removed, nor a sound checkpoint of a cell that is not done, nor anything of a cell that runs.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlvr_sweep.cell_dir import CellDir, Locked, holder
from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser
from rlvr_sweep.sweep.cost import as_bytes
from rlvr_sweep.train.checkpoints import COMPLETE

# Half-written: what `write_atomically`, the recorder and the final model are called until they are whole.
PARTIAL = ("*.partial", ".*.tmp", "*.tmp")
ASIDE = ("damaged-*", "*.damaged")  # what a start set aside because it could not be read


@dataclass(frozen=True)
class Waste:
    """Something that can go, and why. `size` in bytes."""

    path: Path
    why: str
    size: int


def waste(cell: Path) -> list[Waste]:
    """What can go of the cell in this directory, which nobody runs."""
    found: dict[Path, str] = {}
    checkpoints = cell / "checkpoints"
    if (cell / "DONE").is_file() and checkpoints.is_dir() and not checkpoints.is_symlink():
        found[checkpoints] = "checkpoints of a done cell"
    for path in sorted(_below(cell)):
        if any(parent in found for parent in path.parents):
            continue
        if any(path.match(pattern) for pattern in PARTIAL):
            found[path] = "half written"
        elif any(path.match(pattern) for pattern in ASIDE):
            found[path] = "set aside as damaged"
        elif path.parent == checkpoints and path.name.startswith("checkpoint-") and not (path / COMPLETE).is_file():
            found[path] = "half written"
    return [Waste(path, why, _size(path)) for path, why in found.items()]


def _below(folder: Path) -> Iterator[Path]:
    """All that lies below, parents first; what links point to is not ours."""
    for parent, folders, files in os.walk(folder, followlinks=False):
        yield from (Path(parent, name) for name in (*folders, *files))


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(each.lstat().st_size for each in _below(path) if each.is_symlink() or not each.is_dir())


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def main(argv: Sequence[str]) -> int:
    """Exit code 0; 1 where something could not be removed."""
    parser = Parser(
        prog="python -m rlvr_sweep gc",
        description="Lists what of the disk can be had back: checkpoints of done cells, half-written files, what was "
        "set aside as damaged. Never a record, nor anything of a cell that runs.",
    )
    parser.add_argument("cells", nargs="*", metavar="SWEEP|CELL", help="of these only; without, of all in --runs")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    parser.add_argument("--yes", action="store_true", help="remove it")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    args = parser.parse_args(argv)
    from rlvr_sweep.find import cells_in, find_all

    if not args.cells and not args.runs.is_dir():
        raise UserError(f"{args.runs}: no such folder; write --runs DIR, where cells lie")
    paths = find_all(args.cells, args.runs)[0] if args.cells else cells_in(args.runs)
    running = [path for path in paths if holder(path) is not None]
    found = [each for path in paths if path not in running for each in waste(path)]
    failed: list[str] = []
    if args.yes:
        found, failed = _clear([path for path in paths if path not in running])
    if args.json:
        rows = [{"path": str(each.path), "why": each.why, "bytes": each.size} for each in found]
        print(json.dumps({"removed": args.yes, "waste": rows, "running": list(map(str, running)), "failed": failed}))
        return int(bool(failed))
    for each in found:
        print(f"{as_bytes(each.size):>8}  {each.path}  ({each.why})")
    for line in [*(f"{path.name}: runs, left alone" for path in running), *failed]:
        print(line)
    total = as_bytes(sum(each.size for each in found))
    if not found:
        print(f"nothing to remove in {len(paths):,} cells")
    elif args.yes:
        print(f"removed {total}")
    else:
        print(f"{total} in all; remove it with --yes")
    return int(bool(failed))


def _clear(cells: Sequence[Path]) -> tuple[list[Waste], list[str]]:
    """Remove what can go of each cell while holding it, so that nobody starts it meanwhile: what went, what did not."""
    gone: list[Waste] = []
    failed: list[str] = []
    for cell in cells:
        try:
            with CellDir(cell).lock():
                for each in waste(cell):
                    _remove(each.path)
                    gone.append(each)
        except Locked:
            failed.append(f"{cell.name}: has just been started, left alone")
        except UserError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"{error.filename or cell}: cannot be removed ({error.strerror})")
    return gone, failed
