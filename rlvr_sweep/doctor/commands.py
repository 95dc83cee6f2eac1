"""`python -m rlvr_sweep doctor`: is this machine ready? One row a check: ok, warn or fail, what was found, what to do.

python -m rlvr_sweep doctor
python -m rlvr_sweep doctor --json | python -m json.tool
python -m rlvr_sweep doctor --probe model=shape/qwen2_5_7b compute=zero2_x4      # the first rollout of that cell
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rlvr_sweep.doctor import install, places
from rlvr_sweep.doctor.machine import Check
from rlvr_sweep.doctor.machine import rows as machine_rows
from rlvr_sweep.parser import Parser


def examine(runs: Path) -> list[Check]:
    """All checks, in the order in which they are shown."""
    rows: list[Callable[[], Check]] = [
        install.python,
        lambda: install.packages(*install.pins()),
        install.files,
        install.torch_build,
        *machine_rows(),
        install.grader,
        lambda: places.disk(runs),
        places.hub,
        places.wandb,
        install.commit,
        places.threads,
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


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep doctor",
        description="Is this machine ready? Exits 1 if a check fails, or the steps of --probe do.",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where run directories will lie (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="what was found as JSON")
    parser.add_argument(
        "--probe",
        nargs="*",
        metavar="key=value",
        help="instead, run the first rollout of the cell that these choices make, in a temporary folder",
    )
    return parser


def main(argv: list[str]) -> int:
    """The verb `doctor`. Returns 1 if a check or the probe fails, else 0."""
    options = _parser().parse_args(argv)
    if options.probe is not None:
        from rlvr_sweep.doctor.probe import probe
        from rlvr_sweep.doctor.probe import show as show_probe

        found = probe(options.probe)
        print(json.dumps(asdict(found), indent=2)) if options.json else show_probe(found)
        return int(not found.passed)
    checks = examine(options.runs)
    if options.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        show(checks)
    return int(any(check.state == "fail" for check in checks))
