"""Many lab cells on the GPUs of this machine: cells an hour one at a time, and with several sharing a GPU.

    python -m tests.trials.packing OUT [--cells 16] [--slots 1,4,8,16]

Prints a line each; OUT/packing.json holds the same.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rlvr_sweep.sweep.slots import gpus_here
from rlvr_sweep.sweep.state import read


def sweep(runs: Path, *, cells: int, slots: int) -> dict[str, float]:
    """Run `cells` seeds of the default cell, `slots` of them on each GPU at once."""
    lines = [f"seed=range(0,{cells})", "compute=auto", f"compute.share={1 / slots:.4f}", "tracking=off"]
    began = time.monotonic()
    command = [sys.executable, "-m", "rlvr_sweep", "-m", *lines, "sweep.stagger_s=0.2", f"runs={runs}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    states = [read(path).state for path in runs.glob("*--*")]
    assert states == ["done"] * cells, states
    return {"cells": cells, "slots_a_gpu": slots, "seconds": seconds, "cells_an_hour": 3600 * cells / seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", type=int, default=16, help="in each run but that of one slot, which has a quarter")
    parser.add_argument("--slots", default="1,4,8,16")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = []
    print(f"{len(gpus_here())} GPUs", flush=True)
    for slots in map(int, args.slots.split(",")):
        cells = max(2, args.cells // 4) if slots == 1 else args.cells
        found.append(sweep(args.out / f"runs-{slots}", cells=cells, slots=slots))
        print("  ".join(f"{key} {value:.4g}" for key, value in found[-1].items()), flush=True)
    (args.out / "packing.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
