"""Whether a seed means something under vLLM: one engine, the same completions asked for again.

    python -m tests.trials.seeds OUT [--model DIR | --shape qwen2_5_1_5b] [--count 512] [--tokens 896]

Seed 0, seed 0 again, half of it with other neighbours in the batch, seed 1: how many completions are the same token by
token, and where the others part. --tiny: Hugging Face on a CPU.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.draws import draw
from rlvr_sweep.train.generation import Sample, Sampling

WORDS = "A train goes 60 miles in 2 hours and the sum of its digits equals twice the product of"


def prompts(tokenizer: Any, count: int) -> list[list[int]]:
    """Token ids of sums in many words, which differ in length."""
    return [tokenizer(f"{WORDS[: 5 * (i % 17)]} What is {i}+{7 * i}?")["input_ids"] for i in range(count)]


def parser(description: str | None, *, count: int, tokens: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("out", type=Path)
    made.add_argument("--model", help="a Hugging Face folder")
    made.add_argument("--shape", default="qwen2_5_1_5b")
    made.add_argument("--count", type=int, default=count, help="completions")
    made.add_argument("--tokens", type=int, default=tokens, help="of each")
    made.add_argument("--tiny", action="store_true", help="Hugging Face on a CPU, a tiny shape")
    return made


def lines(args: argparse.Namespace) -> list[str]:
    """The model as a cell's choices."""
    if args.model:
        return ["model=path", f"model.path={Path(args.model).resolve()}"]
    return [f"model=shape/{'tiny' if args.tiny else args.shape}"]


def engine(cell: Any, *, window: int, memory: float, tiny: bool) -> tuple[Any, Any]:
    """(what generates, the tokenizer) of the cell's model, by vLLM on a share of the GPU; `tiny`: Hugging Face."""
    from rlvr_sweep.train.generation import Untrained
    from rlvr_sweep.train.model import facts, folder, load, load_tokenizer
    from rlvr_sweep.train.vllm_engine import VLLM, alone

    if tiny:
        import torch

        torch.set_num_threads(1)
        model, tokenizer = load(cell)
        return Untrained(model, tokenizer, device=torch.device("cpu"), dtype="float32", stop=[], batch=32), tokenizer
    tokenizer = load_tokenizer(cell)
    llm = alone(folder(cell), dtype=cell.model.dtype, window=window, memory=memory)
    return VLLM(llm, ends=facts(cell, tokenizer)[0], stop=[]), tokenizer


def agreement(one: list[Sample], other: list[Sample]) -> dict[str, Any]:
    """How many completions are the same, and of the others the mean share of tokens before the first difference."""
    same = sum(a.ids == b.ids for a, b in zip(one, other, strict=True))
    parted = [_common(a.ids, b.ids) / len(a.ids) for a, b in zip(one, other, strict=True) if a.ids != b.ids]
    share = sum(parted) / len(parted) if parted else None
    return {"completions": len(one), "same": same, "mean share before they part": share}


def _common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def main(words: list[str] | None = None) -> int:
    args = parser(__doc__, count=512, tokens=896).parse_args(words)
    from rlvr_sweep.config.compose import compose_or_refuse

    args.out.mkdir(parents=True, exist_ok=True)
    tokens, count = (16, 16) if args.tiny else (args.tokens, args.count)
    cell = compose_or_refuse(lines(args), multirun=False)[0].cell
    backend, tokenizer = engine(cell, window=tokens + 256, memory=0.6, tiny=args.tiny)
    asked = [ids for ids in prompts(tokenizer, count // 16) for _ in range(16)]

    def sampled(seed: int, part: slice) -> list[Sample]:
        began = time.perf_counter()
        seeds = [draw(seed, "rollout", 1, f"row {i // 16}", i % 16) for i in range(len(asked))]
        found = backend.generate(asked[part], Sampling(tokens, 1.0), seeds=seeds[part])
        seconds = time.perf_counter() - began
        made = sum(len(one.ids) for one in found)
        print(f"seed {seed}: {len(found)} completions, {made / seconds:,.0f} tokens/s", flush=True)
        return found

    whole, half = slice(None), slice(None, None, 2)
    first = sampled(0, whole)
    table = [
        {"name": "one seed twice"} | agreement(first, sampled(0, whole)),
        {"name": "one seed, half of the batch"} | agreement(first[half], sampled(0, half)),
        {"name": "two seeds"} | agreement(first, sampled(1, whole)),
    ]
    (args.out / "seeds.json").write_text(json.dumps(table, indent=1) + "\n")
    for row in table:
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
