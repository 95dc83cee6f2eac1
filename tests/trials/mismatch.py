"""How far vLLM's probabilities are from the trainer's, of the same tokens: what estimator.rollout_correction corrects.

    python -m tests.trials.mismatch OUT [--model DIR | --shape qwen2_5_1_5b] [--count 128] [--tokens 3072]

vLLM samples with its log-probs; the trainer's forward pass scores the same tokens: autocast over float32 weights, and
bfloat16 weights as under DeepSpeed. mismatch.json and a short table. A shape's random weights draw from nearly all of
the vocabulary, so they are sampled at a low temperature too. --tiny: Hugging Face on a CPU.
"""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rlvr_sweep.train.generation import Sample, Sampling
from tests.trials.seeds import engine, lines, parser, prompts

LENGTHS = (512, 1024, 2048, 3072)
TAILS = (0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999)
MICRO = 4  # completions a forward pass


def distribution(
    sampled: Sequence[Sequence[float]], trained: Sequence[Sequence[float]], *, lengths: Sequence[int] = LENGTHS
) -> dict[str, Any]:
    """Of trainer - sampler, by token, and summed over the first tokens of those completions that have so many.

    Ratios are exp of it, which is the weight of a correction and of the first update's ratio if the sampler's log-probs
    were the old ones; `clipped` is the share of tokens that +-0.2 would then clip.
    """
    import numpy as np

    apart = [np.asarray(t) - np.asarray(s) for s, t in zip(sampled, trained, strict=True)]
    tokens = np.concatenate(apart)
    found: dict[str, Any] = {
        "completions": len(apart),
        "tokens": len(tokens),
        "logprob": float(np.concatenate([np.asarray(s) for s in sampled]).mean()),
        "mean": float(tokens.mean()),
        "mean_abs": float(np.abs(tokens).mean()),
        "std": float(tokens.std()),
        "max_abs": float(np.abs(tokens).max()),
        "kl": float(-tokens.mean()),
        "ratio": dict(zip(map(str, TAILS), np.exp(np.quantile(tokens, TAILS)).tolist(), strict=True)),
        "clipped": float((np.abs(np.exp(tokens) - 1) > 0.2).mean()),
        "sequence": {},
    }
    for length in lengths:
        sums = np.array([one[:length].sum() for one in apart if len(one) >= length])
        if len(sums):
            tails = np.exp(np.quantile(sums, (0.05, 0.5, 0.95))).tolist()
            found["sequence"][str(length)] = {
                "completions": len(sums),
                "ratio": dict(zip(("0.05", "0.5", "0.95"), tails, strict=True)),
                "mean": float(np.exp(sums).mean()),
                "std_of_log": float(sums.std()),
                "beyond_3": float((sums > math.log(3)).mean()),
            }
    return found


def score(model: Any, asked: list[list[int]], samples: list[Sample], *, dtype: str) -> list[list[float]]:
    """The trainer's log-probs, as TRL's _get_per_token_logps_and_entropies computes them; `model` has its LM head."""
    import torch

    found: list[list[float]] = []
    device = next(model.parameters()).device
    mixed = dtype == "bfloat16"
    for start in range(0, len(samples), MICRO):
        rows = list(zip(asked, samples, strict=True))[start : start + MICRO]
        before, behind = max(len(ids) for ids, _ in rows), max(len(one.ids) for _, one in rows)
        pads = [(before - len(ids), behind - len(one.ids)) for ids, one in rows]
        full = [[0] * left + ids + one.ids + [0] * right for (ids, one), (left, right) in zip(rows, pads, strict=True)]
        mask = [
            [0] * left + [1] * (len(ids) + len(one.ids)) + [0] * right
            for (ids, one), (left, right) in zip(rows, pads, strict=True)
        ]
        ids, attended = torch.tensor(full, device=device), torch.tensor(mask, device=device)
        labels = ids.masked_fill(attended == 0, -100)
        labels[:, :before] = -100
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            out = model(input_ids=ids, attention_mask=attended, labels=labels, fused_lm_head=True)
        logps = out.log_probs[:, -behind:].float().tolist()
        found += [row[: len(one.ids)] for row, (_, one) in zip(logps, rows, strict=True)]
    return found


def main(words: list[str] | None = None) -> int:
    made = parser(__doc__, count=128, tokens=3072)
    made.add_argument("--temperature", type=float, nargs="*", default=[1.0, 0.2])
    args = made.parse_args(words)
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from rlvr_sweep.config.compose import compose_or_refuse
    from rlvr_sweep.train.model import load

    args.out.mkdir(parents=True, exist_ok=True)
    tokens, count = (64, 8) if args.tiny else (args.tokens, args.count)
    lengths = (16, 32, 64) if args.tiny else LENGTHS
    cell = compose_or_refuse(lines(args), multirun=False)[0].cell
    backend, tokenizer = engine(cell, window=tokens + 256, memory=0.5, tiny=args.tiny)
    asked = prompts(tokenizer, count)
    drawn = {}
    for temperature in args.temperature:
        sampling = Sampling(tokens, temperature, logprobs=True)
        drawn[temperature] = backend.generate(asked, sampling, seeds=range(count))
    device = torch.device("cpu" if args.tiny else "cuda")
    table = []
    for weights in ("float32", "bfloat16"):
        model = load(cell)[0].to(device).eval()
        for parameter in model.parameters():  # as DeepSpeed does: a rotary embedding's frequencies stay in float32
            parameter.data = parameter.data.to(getattr(torch, weights))
        for temperature, samples in drawn.items():
            add_fused_lm_head(model, temperature=temperature)
            if args.tiny:  # Hugging Face has no log-probs of its own: those of float32 stand for them
                plain = load(cell)[0].eval()
                add_fused_lm_head(plain, temperature=temperature)
                sampled = score(plain, asked, samples, dtype="float32")
            else:
                sampled = [one.logprobs or [] for one in samples]
            row = distribution(sampled, score(model, asked, samples, dtype="bfloat16"), lengths=lengths)
            table.append({"weights": weights, "temperature": temperature} | row)
            (args.out / "mismatch.json").write_text(json.dumps(table, indent=1) + "\n")
        del model
    for row in table:
        print(
            f"weights {row['weights']}, temperature {row['temperature']:g}: log-prob {row['logprob']:.2f}, apart by "
            f"{row['mean_abs']:.4f} (std {row['std']:.4f}), clipped {row['clipped']:.4%}"
        )
        for length, of in row["sequence"].items():
            low, middle, high = (f"{value:.3f}" for value in of["ratio"].values())
            print(f"  first {length} tokens: ratio {low} {middle} {high}, beyond 3: {of['beyond_3']:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
