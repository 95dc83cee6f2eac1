"""How long a plan of a thousand cells takes, and the status of a thousand directories; time and memory of the process.

python -m tests.bench.plan
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose

GRID = ["model=lab/qwen_math,lab/llama", "reward=ground_truth,random,format,python"]
PLAN_S, STATUS_S, MEMORY_MB = 10.0, 2.0, 500
STEPS = 80


def timed(argv: list[str]) -> tuple[float, int, str]:
    """Wall seconds, peak memory in MB, and what `python -m rlvr_sweep argv` printed."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "rlvr_sweep", *argv], stdout=out)
        _, code, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            raise RuntimeError(f"{' '.join(argv)}: exit code {process.returncode}")
        out.seek(0)
        # Never less than this process itself holds: Linux counts what a child was before it became another program.
        kilobytes = usage.ru_maxrss if sys.platform.startswith("linux") else usage.ru_maxrss / 1024
        return seconds, int(kilobytes / 1024), out.read()


def make_up(runs: Path) -> None:
    """A thousand directories of finished cells; what they hold is made up."""
    grid = compose([*GRID, "seed=range(0,125)", f"runs={runs}"], multirun=True).or_refuse()
    metrics = [
        {"step": s, "rollout": s // 4 + 1, "reward": 0.5, "accuracy/ground_truth": 0.5} for s in range(1, STEPS + 1)
    ]
    metrics = [row | {f"other/{number}": 0.123456789 for number in range(25)} for row in metrics]
    timings = [{"step": s, "rollout": (s - 1) // 4 + 1, "seconds/step": 0.1} for s in range(1, STEPS + 1)]
    for composed in grid.cells:
        path = CellDir.create(composed).path
        (path / "attempts" / "1").mkdir(parents=True)
        for name, rows in (("metrics.jsonl", metrics), ("timings.jsonl", timings)):
            (path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        status = {"state": "done", "attempt": 1, "started": 100.0, "finished": 112.0, "step": STEPS, "steps": STEPS}
        (path / "status.json").write_text(json.dumps(status))
        environment = {"devices": ["x86_64"], "cuda": None}
        (path / "attempts" / "1" / "env.json").write_text(json.dumps(environment))
        (path / "lock").touch()
        (path / "DONE").write_text("{}")


def main() -> int:
    missed = 0

    def check(what: str, argv: list[str], limit_s: float) -> str:
        nonlocal missed
        seconds, memory, out = timed(argv)
        missed += seconds > limit_s or memory > MEMORY_MB
        print(f"{what:<58} {seconds:5.2f} s (at most {limit_s:g})  {memory:4d} MB (at most {MEMORY_MB})", flush=True)
        return out

    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        grid = [*GRID, "seed=range(0,125)", f"runs={runs}"]
        check("plan of 1,000 cells, no runs/", ["plan", *grid], PLAN_S)
        found = json.loads(check("the same with --json", ["plan", *grid, "--json"], PLAN_S))
        distinct = len({cell["cell_id"] for cell in found["cells"]})
        make_up(runs)
        there = json.loads(check("the same, all of them finished", ["plan", *grid, "--json"], PLAN_S))
        others = [*GRID, "seed=range(125,250)", f"runs={runs}"]
        new = json.loads(check("1,000 new cells beside 1,000 finished ones", ["plan", *others, "--json"], PLAN_S))
        unlike = [*others, "algo.learning_rate=3e-4"]
        check("1,000 new cells that none of the finished is like", ["plan", *unlike], PLAN_S)
        check("status of 1,000 directories", ["status", "--runs", str(runs)], STATUS_S)
        check("status --json of 1,000 directories", ["status", "--runs", str(runs), "--json"], STATUS_S)
    print(f"distinct ids: {distinct}; finished: {there['counts']}; basis: {new['cost']['basis']}")
    missed += distinct != 1000 or there["counts"] != {"done": 1000} or new["cost"]["known_for"] != 1000
    print("held" if not missed else f"missed: {missed}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
