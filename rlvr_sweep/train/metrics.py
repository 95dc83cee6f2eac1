"""The numbers of one rollout, from its scored completions: plain Python over plain rows, so they can be recomputed.

    rollout_metrics(rows)["code_frequency"]     # rows: the dictionaries written to rollouts/part-*.parquet

Missing is null, never 0: a mean over nothing is None.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlvr_sweep.rewards.text import has_box, has_code, repeats
from rlvr_sweep.train.scoring import Scored

if TYPE_CHECKING:
    from rlvr_sweep.train.rollouts import Group


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


def row(
    scored: Scored, *, rollout: int, step: int, advantage: float | None, trained: int = 1, generation_batch: int = 1
) -> dict[str, Any]:
    """One row of rollouts/part-*.parquet. `step` is the first optimizer step of its rollout, `trained` how often the
    completion is in what the rollout trains on: 0 where dynamic sampling dropped its group, or where it only voted."""
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
        "unscorable": scored.unscorable,
        "advantage": advantage,
        "correct": scored.verdict.correct,
        "reason": scored.verdict.reason,
        "correct_math_verify": scored.correct_math_verify,
        "correct_authors": scored.correct_authors,
        "gold": scored.prompt.gold,
        "label": scored.prompt.label,
        "label_correct": scored.label_correct,
        "majority_correct": scored.majority,
        "majority_ratio": scored.majority_ratio,
        "trained": trained,
        "generation_batch": generation_batch,
    }


def rollout_rows(
    groups: Sequence["Group"],
    trained: Iterable[Sequence[float]],
    *,
    per_group: int,
    rollout: int,
    step: int,
    is_replaced: bool,
) -> list[dict[str, Any]]:
    """The rows of a rollout, of all ranks.

    `trained` holds (position of its group, reward, advantage) of each completion that is trained on, groups whole and
    in slot order, `per_group` each; with `is_replaced`, the reward there stands for the one that was scored.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for position, reward, advantage in trained:
        found.setdefault(int(position), []).append((reward, advantage))
    rows = []
    for position, group in enumerate(groups):
        for slot, scored in enumerate(group.scored):
            copies = found.get(position, [])[slot::per_group] if slot < per_group else []
            reward, advantage = copies[0] if copies else (None, None)
            if is_replaced:
                known = reward is not None and not math.isnan(reward)
                scored = replace(scored, reward=reward if known else None, unscorable=None if known else "no tokens")
            numbers = {"rollout": rollout, "step": step, "generation_batch": group.batch}
            rows.append(row(scored, advantage=advantage, trained=len(copies), **numbers))
    return rows


def rollout_metrics(rows: Sequence[dict[str, Any]], *, is_graded: bool = True) -> dict[str, float | None]:
    """The metrics of a whole rollout (all ranks' rows), named as in metrics.jsonl.

    They are over all that was sampled, which is what the policy does, except `reward/trained`: over what was trained
    on, as often as it was. A group has zero spread by the completions of it that may be trained on. Without `is_graded`
    the reward says nothing of an answer, and has no agreement with the oracle.
    """
    rewards = [r["reward"] for r in rows]
    known = [r for r in rows if is_graded and r["reward"] is not None and r["correct"] is not None]
    groups: dict[str, list[dict[str, Any]]] = {}
    for r in rows:
        groups.setdefault(r["row_id"], []).append(r)
    first = [members[0] for members in groups.values()]
    kept = [any(m["trained"] for m in members) for members in groups.values()]
    eligible = [[m for m in members if m["trained"]] or members for members in groups.values()]
    flat = [len({m["reward"] for m in members if m["reward"] is not None}) <= 1 for members in eligible]
    return {
        "reward": mean(rewards),
        "reward_std": _spread(rewards),
        "reward/trained": mean(r["reward"] for r in rows for _ in range(r["trained"])),
        "accuracy/ground_truth": mean(r["correct"] for r in rows),
        "agreement": mean((r["reward"] > 0.5) == r["correct"] for r in known),
        "code_frequency": mean(r["has_code"] for r in rows),
        "accuracy/with_code": mean(r["correct"] for r in rows if r["has_code"]),
        "accuracy/without_code": mean(r["correct"] for r in rows if not r["has_code"]),
        "boxed_rate": mean(r["boxed"] for r in rows),
        "repetition_rate": mean(r["repeats"] for r in rows),
        "truncated_rate": mean(r["truncated"] for r in rows),
        "completion_tokens/mean": mean(r["tokens"] for r in rows),
        "completion_tokens/max": float(max(r["tokens"] for r in rows)),
        "frac_reward_zero_std": mean(flat),
        "groups/kept": mean(kept),
        "groups/generation_batches": float(max(r["generation_batch"] for r in rows)),
        "label_accuracy": mean(r["label_correct"] for r in first),
        "majority_accuracy": mean(r["majority_correct"] for r in first),
        "majority_ratio": mean(r["majority_ratio"] for r in first),
        "unscorable_rate": mean(r["reward"] is None for r in rows),
        "grader_timeout_rate": mean(r["reason"] in ("timeout", "killed") for r in rows),
        "tokens": float(sum(r["tokens"] for r in rows)),
    }
