"""`bench`: what a cell takes on this machine, by phase, beside TRL's stock trainer and the floor.

    python -m rlvr_sweep bench model=shape/qwen2_5_1_5b compute=gpu compute.backend=vllm --mean-tokens 800 --stock

Runs the cell's own worker for a few rollouts, in a scratch folder that is removed at the end. What was measured is
written as a calibration, from which `plan` tells what such cells will cost.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.devices import Peak
from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser

if TYPE_CHECKING:
    from rlvr_sweep.bench.setting import Setting
    from rlvr_sweep.cell_dir import CellDir
    from rlvr_sweep.sweep.slots import Lease

ROLLOUTS = 3


def main(argv: list[str]) -> int:
    """Exit code 0; 1 where the cell or the stock trainer failed, 2 for a user's mistake."""
    args = _parser().parse_intermixed_args(argv)
    if args.rollouts < 2:
        raise UserError(f"bench: --rollouts {args.rollouts}: the first only warms up; write 2 or more")
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UserError(f"bench: --out {args.out}: is no folder; write one, or a new name")
    if args.config_dir is not None and not args.config_dir.is_dir():
        raise UserError(f"--config-dir {args.config_dir}: no such folder")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a download is not what is timed; before huggingface_hub is imported
    from rlvr_sweep.bench.running import stoppable

    with stoppable():
        return _bench(args)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m rlvr_sweep bench",
        description="Times a cell's phases on this machine: a few rollouts of its own worker, as a sweep starts it.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for a run; one cell")
    parser.add_argument(
        "--rollouts", type=int, default=ROLLOUTS, metavar="N", help=f"how many; the first is left out ({ROLLOUTS})"
    )
    parser.add_argument(
        "--mean-tokens",
        type=int,
        metavar="N",
        help="random weights: completions end by chance after so many, on average",
    )
    stock = parser.add_mutually_exclusive_group()
    stock.add_argument("--stock", action="store_true", help="also TRL's own trainer, on the same prompts and batches")
    stock.add_argument("--stock-only", action="store_true", help="only that, beside what was measured before")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the calibration goes, with the logs")
    parser.add_argument("--json", action="store_true", help="print the calibration and no table")
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="a configuration tree of your own")
    return parser


def _command(args: argparse.Namespace) -> str:
    """What measures this again elsewhere: without this machine's folders, and without TRL's part."""
    lengths = ["--mean-tokens", str(args.mean_tokens)] if args.mean_tokens else []
    overrides = [line for line in args.overrides if not line.startswith("runs=")]
    return shlex.join(["python", "-m", "rlvr_sweep", "bench", *overrides, *lengths, "--rollouts", str(args.rollouts)])


def _bench(args: argparse.Namespace) -> int:
    from rlvr_sweep.bench import calibration, running, table
    from rlvr_sweep.bench.setting import check_stock, one, prepare
    from rlvr_sweep.cell_dir import CellDir

    asked = one(args.overrides, args.config_dir)
    if args.stock or args.stock_only:
        check_stock(asked.cell)
    runs = Path(asked.cell.runs)
    with _scratch(runs) as scratch:
        found = prepare(asked, rollouts=args.rollouts, mean_tokens=args.mean_tokens, scratch=scratch)
        wanted, folder = calibration.asked(found), calibration.place(args.out, runs=runs)
        if args.stock_only:
            calibration.check_measured(folder, wanted)
        directory = CellDir.create(found.composed)
        given = running.lease(directory)
        calibration.make(folder)
        try:
            if not args.stock_only:
                document = _ours(found, directory, given, args.out, _command(args))
                file = folder / f"{document['name']}.json"
                calibration.write(file, document)  # before what may take long, or fail
            if args.stock or args.stock_only:
                stock, machine = _stock(directory, given, args.out)
                file = folder / f"{calibration.name(wanted, machine)}.json"
                if not file.is_file():
                    print(json.dumps(stock, indent=1))
                    _say(f"bench: nothing to compare it with: no {file}")
                    return 0
                document = calibration.with_stock(
                    json.loads(file.read_text()), stock, command=f"{_command(args)} --stock-only"
                )
                calibration.write(file, document)
        except _Failed as error:
            _say(str(error))
            return 1
    if args.json:
        print(json.dumps(document, indent=1))
    else:
        table.show(document, file)
    return 0


class _Failed(Exception):
    """What was timed ended otherwise than well: the end of its log, and why."""

    def __init__(self, log: Path, reason: str) -> None:
        tail = log.read_text(errors="replace").splitlines()[-15:] if log.is_file() else []
        super().__init__("\n".join([*tail, f"rlvr_sweep: bench: {reason}"]))


def _ours(found: "Setting", directory: "CellDir", given: "Lease", out: Path | None, command: str) -> dict[str, Any]:
    """Run the cell; the document of what was measured."""
    from rlvr_sweep.bench import calibration, running
    from rlvr_sweep.bench.measured import measure
    from rlvr_sweep.protocol import DONE, USER_ERROR
    from rlvr_sweep.shapes.floor import device
    from rlvr_sweep.shapes.memory import sizes_of
    from rlvr_sweep.shapes.sizes import Unknown

    attempt = directory.path / "attempts" / "1"
    _say(f"bench: {found.composed.slug}: {found.composed.batch.rollouts} rollouts, the first to warm up")
    try:
        with Peak(given.gpus) as peak:
            code = running.run_cell(directory, given, _say)
    finally:
        _keep(attempt / "log.txt", out, "cell.log")
    reason = running.why(directory, code)
    if code == USER_ERROR:
        raise UserError(f"bench: {reason}{_shape_like(found.whole.model.hub)}")
    if code != DONE:
        raise _Failed(attempt / "log.txt", reason)
    environment = json.loads((attempt / "env.json").read_text())
    machine = calibration.machine(found.whole, environment, gpus=len(given.gpus))
    try:
        sizes = sizes_of(found.whole)
    except Unknown:
        sizes = None
    ours = measure(directory, sizes=sizes, device=device(machine["device"]))
    return calibration.document(
        found, environment, ours=ours, sizes=sizes, machine=machine, peak=peak.bytes, command=command
    )


def _shape_like(hub: str | None) -> str:
    """What stands for a published model that is not here."""
    from rlvr_sweep.shapes.table import SHAPES

    name = next((name for name, shape in SHAPES.items() if hub in shape.hubs), None)
    return f"; or random weights of its shape: model=shape/{name}" if name else ""


def _stock(directory: "CellDir", given: "Lease", out: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What TRL's stock trainer took, and on what."""
    from rlvr_sweep.bench import calibration, running
    from rlvr_sweep.protocol import DONE

    _say("bench: TRL's stock trainer on the same prompts")
    log, file = directory.path / "stock.log", directory.path / "stock.json"
    try:
        with Peak(given.gpus) as peak:
            code = running.run_stock(directory, given, file, log)
    finally:
        _keep(log, out, "stock.log")
    if code != DONE:
        raise _Failed(log, f"TRL's stock trainer ended by exit code {code}")
    found = json.loads(file.read_text())
    machine = calibration.machine(directory.cell, found["environment"], gpus=len(given.gpus))
    return calibration.stock(directory.cell, found, peak=peak.bytes), machine


@contextmanager
def _scratch(runs: Path) -> Iterator[Path]:
    """A folder under the cell's runs, where there is room for its checkpoints; removed at the end."""
    from rlvr_sweep.sweep.calibration import OWN

    folder = runs / OWN / f"scratch-{os.getpid()}"
    made = [each for each in (*reversed(folder.parents), folder) if not each.exists()]
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); write runs=DIR with a folder of yours") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for each in reversed(made[:-1]):
            with contextlib.suppress(OSError):  # something else lies there by now
                each.rmdir()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _keep(log: Path, out: Path | None, name: str) -> None:
    if out is not None and log.is_file():
        shutil.copy(log, out / name)
