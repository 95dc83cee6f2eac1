"""Seconds of an update by the completions that a pass has: does it wait for the GPU, or for the core that launches it?

    python -m tests.trials.pass_size OUT [--shape qwen2_5_1_5b] [--weights float32] [--sizes 4,8,16,32]

One update of drawn lengths, rows end to end, with Liger's kernels, each size on rows of its own; activations kept and
computed anew. And old log-probs, in passes of four times as many. --tiny tries the script on a CPU.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.trials.levers import all_tokens, in_fours, liger, measured, micro_batches, ours, prepared, step


def rows(
    model: Any, drawn: Callable[..., dict[str, torch.Tensor]], sizes: list[int], device: torch.device
) -> Iterator[dict[str, Any]]:
    step(model, micro_batches(drawn(seed=0), sizes[0])[:4], ours)  # warms up
    for kept in (True, False):
        if kept:
            model.gradient_checkpointing_disable()
        else:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        for size in sizes:
            data = drawn(seed=size)
            row = {"activations": "kept" if kept else "anew", "completions a pass": size}
            try:
                seconds, peak = measured(partial(step, model, micro_batches(data, size), ours), device, times=1)
                yield row | {"seconds": seconds, "tokens/s": all_tokens(data) / seconds, "peak_gb": peak}
            except torch.OutOfMemoryError as error:
                model.zero_grad()
                yield row | {"failed": str(error).splitlines()[0][:100]}
    with torch.no_grad():
        for size in sizes:
            data = drawn(seed=9 + size)
            seconds, peak = measured(partial(in_fours, model, data, size), device, times=1)
            row = {"old log-probs": True, "completions a pass": 4 * size, "seconds": seconds}
            yield row | {"tokens/s": all_tokens(data) / seconds, "peak_gb": peak}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="qwen2_5_1_5b")
    parser.add_argument("--weights", default="float32", help="the dtype of what is trained")
    parser.add_argument("--sizes", default="4,8,16,32")
    parser.add_argument("--completions", type=int, default=128)
    parser.add_argument("--mean-tokens", type=int, default=800)
    parser.add_argument("--max-tokens", type=int, default=3072)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu" if args.tiny else "cuda")
    model, drawn = prepared(args, device)
    if not args.tiny:
        liger(model)
    table = []
    for row in rows(model, drawn, [int(each) for each in args.sizes.split(",")], device):
        table.append(row)
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
        setting = {key: str(value) for key, value in vars(args).items()}
        (args.out / "pass_size.json").write_text(json.dumps({"setting": setting, "rows": table}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
