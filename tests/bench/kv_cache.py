"""Generation by Hugging Face with room for all keys and values from the start, beside transformers' own cache.

    python -m tests.bench.kv_cache [--shape tiny] [--rows 128] [--tokens 256] [--cache own,roomy] [--dtype float32]

Random float32 weights, half of the prompts padded, no end token; --dtype bfloat16 computes under autocast, as a cell
does. The CPU seconds of a call, or on a GPU its wall seconds and peak memory; the best of --repeats.
"""

import argparse
import sys
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from rlvr_sweep.shapes.folder import ensure
from rlvr_sweep.train.kv_cache import roomy

PROMPT = 60
ON_GPU = torch.cuda.is_available()


def call(model: Any, ids: torch.Tensor, mask: torch.Tensor, *, tokens: int, is_roomy: bool, is_mixed: bool) -> float:
    """Seconds of one `generate`."""
    how = GenerationConfig(max_new_tokens=tokens, do_sample=False, pad_token_id=0, eos_token_id=-1)
    clock = time.perf_counter if ON_GPU else time.process_time
    began = clock()
    cache = roomy(model, tokens=PROMPT + tokens) if is_roomy else None
    with torch.no_grad(), torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=is_mixed):
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=how, past_key_values=cache)
    assert found.shape[1] == PROMPT + tokens, "it ended early"
    return clock() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--tokens", default="256")
    parser.add_argument("--cache", default="own,roomy")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16" if ON_GPU else "float32", choices=["float32", "bfloat16"])
    args, _ = parser.parse_known_args()  # `make bench ARGS=` gives every benchmark the same words
    model: Any = AutoModelForCausalLM.from_pretrained(ensure(args.shape), dtype=torch.float32).eval()
    model.to("cuda" if ON_GPU else "cpu")
    ids = torch.randint(5, 1000, (args.rows, PROMPT), generator=torch.Generator().manual_seed(0)).to(model.device)
    mask = torch.ones_like(ids)
    mask[::2, : PROMPT // 2] = 0
    for tokens in map(int, args.tokens.split(",")):
        for kind in args.cache.split(","):
            if ON_GPU:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            how = {"tokens": tokens, "is_roomy": kind == "roomy", "is_mixed": args.dtype == "bfloat16"}
            spent = min(call(model, ids, mask, **how) for _ in range(args.repeats))
            peak = f"  {torch.cuda.max_memory_reserved() / 1e9:.1f} GB" if ON_GPU else ""
            print(f"{args.shape}  {args.rows} rows  {tokens} tokens  {kind:<5}  {spent:.2f} s{peak}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
