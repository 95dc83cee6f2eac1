"""Many lab cells on this machine: cells an hour one at a time, and with several side by side on its GPU or its cores.

    python -m tests.trials.packing OUT [--rows 1:anew,1,4,8,16,32,16:cores] [--limit 450]

A row is how many cells run at once on a GPU, forked from one process; `:anew` gives each its own interpreter and
imports, as before there were forks; `:cores` leaves the GPU alone. A row that does not end within the limit counts what
it got done. Prints a line each; OUT/packing.json holds the same with the seconds of a cell by phase.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import read_status
from rlvr_sweep.devices import cores_here, gpus_here
from tests.conftest import TINY

PHASES = ("start", "load", "problems", "setup", "train", "evaluate", "save")


def command(row: str, *, cells: int, runs: Path, own: list[str]) -> list[str]:
    """A sweep of seeds of the default cell, as the row says."""
    slots, _, how = row.partition(":")
    lines = [f"seed=range(0,{cells})", "tracking=off", *own, f"sweep.fork={'false' if how == 'anew' else 'true'}"]
    on_cores = how == "cores" or not gpus_here()
    lines += ["compute=cpu", f"sweep.slots={slots}"] if on_cores else [f"compute.share={1 / int(slots):.6f}"]
    return [sys.executable, "-m", "rlvr_sweep", "-m", *lines, f"runs={runs}"]


def measure(row: str, *, cells: int, runs: Path, own: list[str], limit_s: float) -> dict[str, Any]:
    """Run it, for at most `limit_s`; cells an hour by the command's own time, and from the first start to the last
    end, which leaves out what a long sweep pays once."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (runs.parent / f"{runs.name}.log").open("w") as log:
        process = subprocess.Popen(command(row, cells=cells, runs=runs, own=own), stdout=log, stderr=log)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
    seconds = time.monotonic() - began
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = [(path, read_status(path)) for path in runs.glob("*--*")]
    failed = [f"{path}: {status.get('reason')}" for path, status in found if status["state"] == "failed"]
    assert not failed, failed
    done = [(path, status) for path, status in found if status["state"] == "done"]
    measured = {"row": row, "cells": cells, "done": len(done), "seconds": seconds}
    if not done:
        return measured
    spans = [status["finished"] - status["started"] for _, status in done]
    whole = max(status["finished"] for _, status in done) - min(
        status["started"] for _, status in found if "started" in status
    )
    phases = [json.loads((path / "phases.json").read_text()) for path, _ in done]
    # Of cells that were stopped, too: they cost as much as those that are done, so far as they came.
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return measured | {
        "cells_an_hour": 3600 * len(done) / seconds,
        "cells_an_hour_running": 3600 * len(done) / whole,
        "seconds_a_cell": statistics.median(spans),
        "cpu_seconds_a_cell": cpu / len(done),
        "phases": {name: statistics.median(one.get(name, 0.0) for one in phases) for name in PHASES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", default="1:anew,1,4,8,16,32,16:cores")
    parser.add_argument("--waves", type=int, default=2, help="cells for each slot; a row of one slot has one more")
    parser.add_argument("--limit", type=float, default=450, help="seconds for all rows")
    parser.add_argument("--tiny", action="store_true", help="the smallest cells, to try this trial")
    args = parser.parse_args()
    end = time.monotonic() + args.limit
    args.out.mkdir(parents=True, exist_ok=True)
    own = TINY[1:] if args.tiny else []
    print(f"{len(gpus_here())} GPUs, {cores_here()} cores", flush=True)
    warm = args.out / "runs-warm"  # the first import of all reads gigabytes from the disk, and is nobody's
    subprocess.run(
        command("1", cells=1, runs=warm, own=[*own, "algo.rollouts=1"]), check=True, stdout=subprocess.DEVNULL
    )
    found: list[dict[str, Any]] = []
    for row in args.rows.split(","):
        slots = int(row.partition(":")[0])
        cells = args.waves * slots + (slots == 1)
        left = end - time.monotonic()
        if left < 30:
            print(f"{row}: no time left", flush=True)
            continue
        runs = args.out / f"runs-{row.replace(':', '-')}"
        found.append(measure(row, cells=cells, runs=runs, own=own, limit_s=left))
        one = {key: value for key, value in found[-1].items() if key != "phases"}
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in one.items()), flush=True)
        print("    " + "  ".join(f"{k} {v:.3g}" for k, v in found[-1].get("phases", {}).items()), flush=True)
        (args.out / "packing.json").write_text(json.dumps(found, indent=1) + "\n")
        shutil.rmtree(runs)
    rates = {one["row"]: one["cells_an_hour"] for one in found if "cells_an_hour" in one}
    if base := rates.get("1:anew"):
        print("times one at a time: " + "  ".join(f"{row} {rate / base:.1f}" for row, rate in rates.items()))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
