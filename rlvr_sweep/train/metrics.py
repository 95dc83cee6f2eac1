"""The numbers of one rollout, from its scored completions: plain Python over plain rows, so they can be recomputed.

    rollout_metrics(rows)["code_frequency"]     # rows: the dictionaries written to rollouts/part-*.parquet

Missing is null, never 0: a mean over nothing is None.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rlvr_sweep.rewards.text import has_box, has_code, repeats
from rlvr_sweep.train.scoring import Scored


def mean(values: Iterable[float | bool | None]) -> float | None:
    """The mean of what is known, None if nothing is."""
    known = [float(v) for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _spread(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return None
    centre = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in known) / (len(known) - 1))


def row(scored: Scored, *, rollout: int, step: int, advantage: float) -> dict[str, Any]:
    """One row of rollouts/part-*.parquet. `step` is the first optimizer step that trains on it."""
    completion = scored.completion
    return {
        "rollout": rollout,
        "step": step,
        "row_id": scored.prompt.row_id,
        "slot": scored.slot,
        "prompt": scored.prompt.text,
        "text": completion.text,
        "answer": completion.answer,
        "tokens": completion.tokens,
        "truncated": completion.truncated,
        "has_code": has_code(completion.text),
        "boxed": has_box(completion.text),
        "repeats": repeats(completion.text),
        "reward": scored.reward,
        "advantage": advantage,
        "correct": scored.verdict.correct,
        "reason": scored.verdict.reason,
        "gold": scored.prompt.gold,
        "label": scored.prompt.label,
        "label_correct": scored.label_correct,
        "majority_correct": scored.majority,
        "majority_ratio": scored.majority_ratio,
    }


def rollout_metrics(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The metrics of a whole rollout (all ranks' rows), named as in metrics.jsonl."""
    rewards = [r["reward"] for r in rows]
    agree = [(r["reward"] > 0.5) == r["correct"] for r in rows if r["reward"] is not None and r["correct"] is not None]
    groups: dict[str, list[dict[str, Any]]] = {}
    for r in rows:
        groups.setdefault(r["row_id"], []).append(r)
    flat = [len({m["reward"] for m in members if m["reward"] is not None}) <= 1 for members in groups.values()]
    first = [members[0] for members in groups.values()]
    return {
        "reward": mean(rewards),
        "reward_std": _spread(rewards),
        "accuracy/ground_truth": mean(r["correct"] for r in rows),
        "agreement": mean(agree),
        "code_frequency": mean(r["has_code"] for r in rows),
        "accuracy/with_code": mean(r["correct"] for r in rows if r["has_code"]),
        "accuracy/without_code": mean(r["correct"] for r in rows if not r["has_code"]),
        "boxed_rate": mean(r["boxed"] for r in rows),
        "repetition_rate": mean(r["repeats"] for r in rows),
        "truncated_rate": mean(r["truncated"] for r in rows),
        "completion_tokens/mean": mean(r["tokens"] for r in rows),
        "completion_tokens/max": float(max(r["tokens"] for r in rows)),
        "frac_reward_zero_std": mean(flat),
        "label_accuracy": mean(r["label_correct"] for r in first),
        "majority_accuracy": mean(r["majority_correct"] for r in first),
        "majority_ratio": mean(r["majority_ratio"] for r in first),
        "unscorable_rate": mean(r["reward"] is None for r in rows),
        "grader_timeout_rate": mean(r["reason"] in ("timeout", "killed") for r in rows),
        "tokens": float(sum(r["tokens"] for r in rows)),
    }
