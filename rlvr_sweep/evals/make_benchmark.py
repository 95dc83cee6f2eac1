"""`probe make-benchmark`: writes a file of problems that no model can have seen (data/random_calculation.py).

python -m rlvr_sweep probe make-benchmark --steps 1-20 --count 100 --out random_calculation.jsonl
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rlvr_sweep.parser import Parser, positive

MOST = 30  # operations; longer ones are drawn again for minutes, until no number in them is too large


def main(argv: Sequence[str]) -> int:
    """The verb `probe make-benchmark`."""
    made = Parser(
        prog="python -m rlvr_sweep probe make-benchmark",
        description="Calculations with exact answers, drawn from a seed of your own, in the manner of "
        "RandomCalculation (arXiv 2507.10532). The file is used as data=jsonl data.path=FILE, or eval=math500 "
        "eval.path=FILE.",
    )
    made.add_argument("--steps", type=span, default=range(1, 21), metavar="N|N-N", help="operations (default 1-20)")
    made.add_argument("--count", type=positive, default=100, metavar="N", help="problems of each length (default 100)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other problems (default 0)")
    made.add_argument("--out", type=Path, default=Path("random_calculation.jsonl"), metavar="FILE")
    args = made.parse_args(argv)

    from rlvr_sweep.data.random_calculation import write

    count = write(args.out, steps=args.steps, count=args.count, seed=args.seed)
    print(f"{count} problems of {args.steps[0]} to {args.steps[-1]} steps: {args.out}")
    return 0


def span(text: str) -> range:
    """ "5", or "1-20". For argparse."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or not 1 <= int(first) <= int(last or first) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of steps up to {MOST}, or two as in 1-20")
    return range(int(first), int(last or first) + 1)
