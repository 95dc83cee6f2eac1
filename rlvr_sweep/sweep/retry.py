"""`retry`: run again the cells of a sweep that failed, as they were composed then.

python -m rlvr_sweep retry SWEEP|CELL ... [--launcher slurm] [--max-failures N]

To change how they run (more memory, another partition), give the sweep's own command again with sweep.retry=true.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rlvr_sweep.parser import Parser


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m rlvr_sweep retry", description="Run failed cells again.")
    parser.add_argument("cells", nargs="+", metavar="SWEEP|CELL", help="a sweep's name; a cell's path, id or name")
    parser.add_argument("--launcher", choices=["local", "slurm"], default="local")
    parser.add_argument(
        "--max-failures", type=int, default=3, metavar="N", help="leave alone what failed N times (default 3)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (default runs)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Exit code: that of the launcher; 0 with a line where nothing failed."""
    args = _parser().parse_args(argv)
    from rich.console import Console

    from rlvr_sweep.cell_dir import CellDir
    from rlvr_sweep.find import find_all
    from rlvr_sweep.sweep import local
    from rlvr_sweep.sweep.manifest import Manifest, planning
    from rlvr_sweep.sweep.state import read

    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    paths, _ = find_all(args.cells, args.runs)
    failed = [s for s in (read(path) for path in paths) if s.state == "failed"]
    often = [s for s in failed if s.failures >= args.max_failures]
    chosen = [CellDir(s.path) for s in failed if s.path is not None and s not in often]
    if often:
        least = max(s.failures for s in often) + 1
        say(f"{len(often)} failed {args.max_failures} times or more; to try again: --max-failures {least}")
    if not chosen:
        say(f"nothing to retry: of {len(paths)} cells {len(failed)} failed")
        return 0
    if args.launcher == "local":
        return local.run(chosen, settings=chosen[0].cell.sweep, console=console)
    from rlvr_sweep.sweep.slurm import submit

    runs = chosen[0].path.parent
    rows = [{key: d.document[key] for key in ("cell_id", "arm_id", "slug", "overrides")} for d in chosen]
    with planning(runs):
        manifest = Manifest.record(rows, runs=runs, name=None, command=["retry", *argv])
        return submit(chosen, manifest=manifest, console=console)
