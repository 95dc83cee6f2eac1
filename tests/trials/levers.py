"""What each lever of an update gains on one device: tokens a second, peak memory, and how far the gradient moves.

    python -m tests.trials.levers OUT [--shape qwen2_5_1_5b] [--completions 64] [--micro-batch 8] [--mean-tokens 800]

One optimizer step of completions of drawn lengths (a geometric distribution, cut at --max-tokens, as of a model that
ends a text with the same chance at every token), forward and backward, each lever on top of those before. Of gradients:
how far they moved from those of TRL's own pass, and how far they are from those in float32 (where weights are).
--tiny tries the script on a CPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from inspect import unwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from rlvr_sweep.shapes.table import find_shape
from rlvr_sweep.train.passes import token_log_probs

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 512}  # fmt: skip


def completions(
    count: int, *, mean: int, most: int, vocabulary: int, device: torch.device, seed: int = 0
) -> dict[str, torch.Tensor]:
    """A rollout as TRL pads it: prompts of 60 to 250 tokens on the left, completions on the right."""
    stream = torch.Generator().manual_seed(seed)
    lengths = torch.empty(count).exponential_(1 / mean, generator=stream).long().clamp(8, most)
    prompts = torch.randint(60, 250, (count,), generator=stream).clamp(max=max(8, most // 2))
    width, long = int(prompts.max()), int(lengths.max())
    place = torch.arange(width), torch.arange(long)
    data = {
        "prompt_ids": torch.randint(8, vocabulary, (count, width), generator=stream),
        "prompt_mask": (place[0][None] >= width - prompts[:, None]).long(),
        "completion_ids": torch.randint(8, vocabulary, (count, long), generator=stream),
        "completion_mask": (place[1][None] < lengths[:, None]).long(),
        "advantages": torch.randn(count, generator=stream),
    }
    return {key: value.to(device) for key, value in data.items()}


def micro_batches(data: dict[str, torch.Tensor], size: int) -> list[dict[str, torch.Tensor]]:
    return [{key: value[i : i + size] for key, value in data.items()} for i in range(0, len(data["advantages"]), size)]


def joined(part: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, int]:
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], 1)
    return ids, torch.cat([part["prompt_mask"], part["completion_mask"]], 1), part["completion_ids"].shape[1]


def autocast(device: torch.device) -> Any:
    return torch.autocast(device.type, dtype=torch.bfloat16)


def theirs(
    model: Any, part: dict[str, torch.Tensor], *, entropy: bool = True, batch: int | None = None
) -> torch.Tensor:
    ids, mask, keep = joined(part)
    device = ids.device
    trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=lambda: autocast(device)))
    bare: Any = unwrap(GRPOTrainer._get_per_token_logps_and_entropies)  # of TRL's profiler
    return bare(trainer, model, ids, mask, keep, batch, compute_entropy=entropy)[0]


def ours(model: Any, part: dict[str, torch.Tensor]) -> torch.Tensor:
    ids, mask, keep = joined(part)
    with autocast(ids.device):
        return token_log_probs(model, ids, mask, keep=keep)[0]


def step(model: Any, parts: Sequence[dict[str, torch.Tensor]], one: Callable[..., torch.Tensor]) -> None:
    """Gradients of the DAPO loss at ratio 1."""
    total = _tokens(parts)
    for part in parts:
        logps = one(model, part)
        ratio = torch.exp(logps - logps.detach())
        (-(ratio * part["advantages"][:, None] * part["completion_mask"]).sum() / total).backward()


def sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measured(run: Callable[[], object], device: torch.device, *, times: int) -> tuple[float, float]:
    """(seconds of the fastest run, peak GB)."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    took = []
    for _ in range(times):
        sync(device)
        began = time.perf_counter()
        run()
        sync(device)
        took.append(time.perf_counter() - began)
    return min(took), torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0


def gradient(model: Any) -> list[torch.Tensor]:
    """A sample of every tensor's gradient, on the CPU."""
    whole = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return [each[:: max(1, each.numel() // 4096)].float().cpu().clone() for each in whole]


def apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """Relative distance of two gradients."""
    a, b = torch.cat(list(one)), torch.cat(list(other))
    return float((a - b).norm() / a.norm())


def exact(model: Any, parts: Sequence[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
    """The gradient in float32 throughout, row by row."""
    for part in parts:
        for row in micro_batches(part, 1):
            ids, mask, keep = joined(row)
            logps, _ = token_log_probs(model, ids, mask, keep=keep)
            ratio = torch.exp(logps - logps.detach())
            (-(ratio * row["advantages"][:, None] * row["completion_mask"]).sum() / _tokens(parts)).backward()
    return gradient(model)


def _tokens(parts: Sequence[dict[str, torch.Tensor]]) -> int:
    return sum(int(part["completion_mask"].sum()) for part in parts)


def liger(model: Any) -> None:
    from liger_kernel.transformers import _apply_liger_kernel_to_instance  # pyright: ignore[reportMissingImports]

    _apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False, cross_entropy=False)


def compiled(model: Any) -> None:
    torch._dynamo.config.cache_size_limit = 64  # pyright: ignore[reportAttributeAccessIssue]
    for layer in model.model.layers:
        layer.compile(dynamic=True)


def levers(
    model: Any, data: dict[str, torch.Tensor], size: int, *, kernels: str
) -> Iterator[tuple[str, list[dict[str, Any]], Any]]:
    """(name, micro-batches, pass), each with what it changes in the model done."""
    parts = micro_batches(data, size)
    yield "TRL's pass", parts, theirs
    yield "TRL's pass in halves: what rounding alone moves", micro_batches(data, size // 2), theirs
    yield "rows without padding", parts, ours
    model.gradient_checkpointing_disable()
    yield "no recomputation", parts, ours
    if kernels == "liger":
        liger(model)
    if kernels == "compile":
        compiled(model)
    if kernels != "none":
        yield f"kernels: {kernels}", parts, ours


def optimizers(model: Any, device: torch.device) -> Iterator[dict[str, Any]]:
    kinds: tuple[dict[str, Any], ...] = ({"foreach": True}, {"fused": True})
    for kind in kinds:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, **kind)
        optimizer.step()
        seconds, peak = measured(optimizer.step, device, times=3)
        yield {"name": f"AdamW {next(iter(kind))}", "seconds": seconds, "peak_gb": peak}
        del optimizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="qwen2_5_1_5b")
    parser.add_argument("--completions", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--mean-tokens", type=int, default=800)
    parser.add_argument("--max-tokens", type=int, default=3072)
    parser.add_argument("--weights", default="float32", help="the dtype of what is trained")
    parser.add_argument("--kernels", choices=["none", "liger", "compile"], default="none")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu" if args.tiny else "cuda")
    model, drawn = prepared(args, device)
    data = drawn()
    tokens = all_tokens(data)
    width = data["prompt_ids"].shape[1] + data["completion_ids"].shape[1]
    setting = {key: str(value) for key, value in vars(args).items()} | {
        "tokens": tokens,
        "padded": width * args.completions,
    }
    table: list[dict[str, Any]] = []

    def say(row: dict[str, Any]) -> None:
        table.append(row)
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
        (args.out / "levers.json").write_text(json.dumps({"setting": setting, "rows": table}, indent=1) + "\n")

    print(setting)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    truth = exact(model, micro_batches(data, args.micro_batch)) if args.weights == "float32" else None
    first: list[torch.Tensor] | None = None
    for name, parts, one in levers(model, data, args.micro_batch, kernels=args.kernels):
        try:
            model.zero_grad()
            step(model, parts, one)  # warms up, too
            found = gradient(model)
            first = first or found
            moved = apart(first, found)
            error = None if truth is None else apart(truth, found)
            seconds, peak = measured(lambda parts=parts, one=one: step(model, parts, one), device, times=1)
            row = {"name": name, "seconds": seconds, "tokens/s": tokens / seconds, "peak_gb": peak}
            say(row | {"moved": moved, "error": error})
        except torch.OutOfMemoryError as error:
            say({"name": name, "failed": str(error).splitlines()[0][:100]})
        if name == "rows without padding":
            with torch.no_grad():
                for label, run in without_gradient(model, data, args.micro_batch):
                    seconds, peak = measured(run, device, times=1)
                    say({"name": label, "seconds": seconds, "tokens/s": tokens / seconds, "peak_gb": peak})
    model.zero_grad()
    for row in unseen(model, drawn(seed=1), drawn(seed=2), args.micro_batch, device):
        say(row)
    try:
        for row in optimizers(model, device):
            say(row)
    except torch.OutOfMemoryError as error:
        say({"name": "AdamW", "failed": str(error).splitlines()[0][:100]})
    return 0


def prepared(args: argparse.Namespace, device: torch.device) -> tuple[Any, Callable[..., dict[str, torch.Tensor]]]:
    """A model of --shape with random --weights, as a cell trains it, and what draws --completions for it."""
    size: dict[str, Any] = find_shape(args.shape).config() | (TINY if args.tiny else {})
    config = AutoConfig.for_model(**size)
    torch.manual_seed(0)
    with device:
        model: Any = AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, args.weights), attn_implementation="sdpa"
        )
    add_fused_lm_head(model, temperature=1.0, outputs=("log_probs", "entropy"))
    model.train()
    torch.backends.cuda.enable_cudnn_sdp(False)  # as train/model.py has it
    lengths = {"mean": args.mean_tokens, "most": args.max_tokens}
    return model, partial(completions, args.completions, **lengths, vocabulary=config.vocab_size, device=device)


def without_gradient(
    model: Any, data: dict[str, torch.Tensor], size: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "old log-probs, TRL's pass", lambda: theirs(model, data, entropy=False, batch=size)
    yield "old log-probs, ours", lambda: in_fours(model, data, size)


def unseen(
    model: Any, rows: dict[str, torch.Tensor], others: dict[str, torch.Tensor], size: int, device: torch.device
) -> Iterator[dict[str, Any]]:
    """Rows of lengths that no pass had before, by cuDNN's attention, which makes a plan for each, and without it."""
    for with_cudnn in (True, False):
        torch.backends.cuda.enable_cudnn_sdp(with_cudnn)
        how = f"new lengths, {'with' if with_cudnn else 'without'} cuDNN's attention"
        with torch.no_grad():
            seconds, peak = measured(lambda: in_fours(model, rows, size), device, times=1)
        yield {
            "name": f"old log-probs, {how}",
            "seconds": seconds,
            "tokens/s": all_tokens(rows) / seconds,
            "peak_gb": peak,
        }
        seconds, peak = measured(lambda: step(model, micro_batches(others, size), ours), device, times=1)
        yield {"name": f"update, {how}", "seconds": seconds, "tokens/s": all_tokens(others) / seconds, "peak_gb": peak}


def all_tokens(data: dict[str, torch.Tensor]) -> int:
    """Tokens, those of the prompts too."""
    return int(data["prompt_mask"].sum() + data["completion_mask"].sum())


def in_fours(model: Any, data: dict[str, torch.Tensor], size: int) -> None:
    """As RLVRTrainer does where no gradient follows."""
    ids, mask, keep = joined(data)
    for some, real in zip(ids.split(4 * size), mask.split(4 * size), strict=True):
        with autocast(ids.device):
            token_log_probs(model, some, real, keep=keep)


if __name__ == "__main__":
    sys.exit(main())
