"""A sweep of lab cells, killed with SIGKILL at random moments until it ends, against one that was left alone.

    python -m tests.trials.kill_sweep [--kills 20] [--seed 0] [--out DIR]

Half of the kills hit a worker, half the sweep itself (its workers then checkpoint and end). Prints how many kills there
were, and "identical", or which files differ. Exit code 1 where one does.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlvr_sweep.sweep.state import CellState, states

GRID = ["model=lab/qwen_math,lab/llama", "reward=ground_truth,random", "sweep.name=trial", "sweep.stagger_s=0.5"]
CELL = [
    "tracking=off",
    "compute=cpu",
    "compute.checkpoint_every=1",
    "algo.rollouts=60",  # long enough that a fast machine does not end before the last kill
    "algo.prompts_per_rollout=8",
    "algo.completions_per_prompt=4",
    "data.count=16",
    "eval.every=5",
    "eval.benchmarks.add.count=8",
]
COMPARED = ("metrics.jsonl", "model/model.safetensors")
LONGEST_S = 1200


def command(runs: Path) -> list[str]:
    return [sys.executable, "-m", "rlvr_sweep", "-m", *GRID, *CELL, f"runs={runs}"]


def cells(runs: Path) -> list[CellState]:
    rows = [json.loads(line) for line in (runs / "_sweeps/trial/manifest.jsonl").read_text().splitlines()]
    return states([row["cell_id"] for row in rows], runs)


def disturbed(runs: Path, *, kills: int, seed: int) -> int:
    """Run the sweep again and again until it is done, killing it `kills` times; how many kills there were."""
    draw = random.Random(seed)
    done, count, end = False, 0, time.monotonic() + LONGEST_S
    while not done:
        assert time.monotonic() < end, "the sweep does not end"
        sweep = subprocess.Popen(command(runs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sweep.poll() is None:
            moment = time.monotonic() + draw.uniform(0.5, 18)  # the imports before the first cell take half of it
            while time.monotonic() < moment and sweep.poll() is None:
                time.sleep(0.05)
            if count < kills and (victim := _victim(runs, sweep, draw)):
                os.kill(victim, signal.SIGKILL)
                count += 1
                print(f"kill {count}: {'sweep' if victim == sweep.pid else 'worker'} {victim}", flush=True)
        found = cells(runs)
        done = all(s.state == "done" for s in found)
        if failed := [f"{s.path}: {s.reason}" for s in found if s.state == "failed"]:
            raise SystemExit("\n".join(["failed of their own:", *failed]))
    return count


def _victim(runs: Path, sweep: subprocess.Popen, draw: random.Random) -> int | None:
    """The process to be killed now: the sweep, or one of the workers that run."""
    if sweep.poll() is not None or not (runs / "_sweeps/trial/manifest.jsonl").is_file():
        return None
    workers = [s.status["pid"] for s in cells(runs) if s.state == "running" and s.status.get("pid")]
    alive = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    return draw.choice(alive) if alive and draw.random() < 0.5 else sweep.pid


def digests(runs: Path) -> dict[str, str]:
    """The hash of each file that must be the same."""
    files = [p for s in cells(runs) if s.path for name in COMPARED if (p := s.path / name).is_file()]
    return {str(f.relative_to(runs)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = args.out or Path(temporary)
        began = time.monotonic()
        subprocess.run(command(out / "alone"), check=True, stdout=subprocess.DEVNULL)
        alone_s = time.monotonic() - began
        kills = disturbed(out / "killed", kills=args.kills, seed=args.seed)
        alone, killed = digests(out / "alone"), digests(out / "killed")
        killed_s = time.monotonic() - began - alone_s
        print(f"{len(alone) // len(COMPARED)} cells; alone {alone_s:.0f} s, killed {killed_s:.0f} s")
        different = sorted(name for name in alone.keys() | killed.keys() if alone.get(name) != killed.get(name))
        attempts = [s.status.get("attempt") for s in cells(out / "killed")]
        print(f"{kills} kills; attempts by cell: {attempts}")
        print("\n".join(["different:", *different]) if different else f"identical: {len(alone)} files")
        return 1 if different or kills < args.kills or not alone else 0


if __name__ == "__main__":
    sys.exit(main())
