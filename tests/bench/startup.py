"""How long the light commands take, and whether they stay light.

python -m tests.bench.startup
"""

import subprocess
import sys
import time

HEAVY = {"torch", "trl", "transformers", "datasets", "wandb", "matplotlib", "pyarrow", "sympy"}
COMMANDS = [["--help"], ["--version"], ["--cfg", "job"], ["show", "--help"], ["lab", "--help"], ["doctor", "--help"]]
LIMIT_S = 1.5
REPEATS = 5


def timed(argv: list[str]) -> tuple[float, set[str]]:
    """Wall seconds of `python -m rlvr_sweep argv` (the best of some), and the heavy modules it imported."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rlvr_sweep", *argv], capture_output=True, check=True)
        best = min(best, time.perf_counter() - began)
    traced = [sys.executable, "-X", "importtime", "-m", "rlvr_sweep", *argv]
    listing = subprocess.run(traced, capture_output=True, text=True, check=True).stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in listing.splitlines() if "|" in line}
    return best, imported & HEAVY


def main() -> int:
    slow = 0
    for argv in COMMANDS:
        seconds, heavy = timed(argv)
        slow += seconds > LIMIT_S or bool(heavy)
        print(f"{' '.join(argv):<16} {seconds:5.2f} s   heavy imports: {', '.join(sorted(heavy)) or 'none'}")
    print(f"limit {LIMIT_S} s: {'held' if not slow else f'missed by {slow}'}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
