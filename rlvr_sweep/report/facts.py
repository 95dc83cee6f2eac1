"""The numbers of one cell, recomputed from its rows: what its table prints, and `show --json` and summary.json hold.

    found = facts(Record(Path("runs/...")))
    found["benchmarks"]["math500"]["change"].mean; found["training"]["last"]["reward"]; found["seconds"]["generate"]

Shares are between 0 and 1, times in seconds; None (null) is what is not known.
"""

import math
from collections.abc import Sequence
from typing import Any

from rlvr_sweep.report.record import Record

TRAINING = (
    "reward",
    "accuracy/ground_truth",
    "agreement",
    "label_accuracy",
    "code_frequency",
    "boxed_rate",
    "truncated_rate",
    "unscorable_rate",
    "grader_timeout_rate",
    "frac_reward_zero_std",
    "entropy",
    "completion_tokens/mean",
)
PHASES = ("start", "import", "load", "problems", "setup")  # before training, as train/worker.py names them
PARTS = ("generate", "score", "old_logprobs", "update")  # of training, as timings.jsonl names them
VERDICTS = {"accuracy": "correct", "lenient": "correct_lenient", "code": "has_code"}
OTHER = {"math_verify": "authors", "authors": "math_verify"}  # the grader that `correct` does not go by


def facts(record: Record) -> dict[str, Any]:
    """Everything the report of a cell says. UserError where its rows cannot be read."""
    return {
        "cell_id": record.cell_id,
        "arm_id": record.arm_id,
        "slug": record.slug,
        "seed": record.seed,
        "state": record.state,
        "reason": record.reason,
        "step": record.metrics[-1]["step"] if record.metrics else 0,
        "steps": record.batch["optimizer_steps"],
        "deviations": list(record.cell.get("deviations") or []),
        "benchmarks": {name: benchmark(record, name) for name in record.benchmarks()},
        "training": training(record),
        "seconds": seconds(record),
        "data": data(record),
        "overlap": overlap(record),
    }


def benchmark(record: Record, name: str) -> dict[str, Any]:
    """One benchmark at its first and last step: estimates before and after, and the change paired by question.

    A cell evaluated at one step only has that side, and no change: step 0 is `before`, any other is `after`.
    `grader` is the one that `correct` goes by, `accuracy_authors` (or `accuracy_math_verify`) is the other's accuracy,
    whose mean is None where it was not recorded.
    """
    from rlvr_sweep.evals import statistics, summary

    steps = record.eval_steps(name)
    setting = record.cell["eval"]["benchmarks"].get(name, {})
    sides = {"before": steps[0] if steps[0] == 0 else None, "after": steps[-1] if steps[-1] > 0 else None}
    rows = {side: record.eval_rows(name, step) for side, step in sides.items() if step is not None}
    grader = record.cell.get("grading", {}).get("grader", "math_verify")
    verdicts = VERDICTS | {f"accuracy_{OTHER[grader]}": f"correct_{OTHER[grader]}"}
    found: dict[str, Any] = {
        "steps": sides,
        "grader": grader,
        "samples": setting.get("samples"),
        "temperature": setting.get("temperature"),
        "questions": len({row["question_id"] for side in rows.values() for row in side}),
        "before": None,
        "after": None,
        "change": None,
    }
    ks = [k for k in setting.get("ks") or [] if k > 1]
    for side, those in rows.items():
        whole = summary.summarize(those, ks=ks)
        found[side] = {key: statistics.accuracy(those, verdict=verdict) for key, verdict in verdicts.items()}
        found[side] |= {f"pass@{k}": estimate for k, estimate in whole["pass_at_k"].items()}
        found[side] |= {key: whole[key] for key in ("boxed_rate", "answered_rate", "truncated_rate", "mean_tokens")}
        found[side] |= {key: whole[key] for key in ("accuracy_with_code", "accuracy_without_code")}
    if len(rows) == 2:
        before, after = rows["before"], rows["after"]
        found["change"] = {
            key: statistics.paired_difference(before=before, after=after, verdict=verdict)
            for key, verdict in verdicts.items()
        }
        found["change"] |= {f"pass@{k}": statistics.paired_difference(before=before, after=after, k=k) for k in ks}
    return found


def training(record: Record) -> dict[str, Any] | None:
    """Oracle against reward: means over the first and the last tenth of the rollouts. None before any."""
    rollouts = record.rollouts()
    if not rollouts:
        return None
    some = max(1, len(rollouts) // 10)
    return {
        "rollouts": len(rollouts),
        "of": record.batch["rollouts"],
        "averaged": some,
        "first": {key: _mean(rollouts[:some], key) for key in TRAINING},
        "last": {key: _mean(rollouts[-some:], key) for key in TRAINING},
    }


def seconds(record: Record) -> dict[str, Any]:
    """Seconds by phase. Training's parts are of all steps; start-up, evaluation and saving of the last attempt to end.

    `other` is the training loop without its parts (only where one attempt did everything), `total` is wall time.
    """
    phases = record.phases
    found: dict[str, Any] = {"start-up": math.fsum(phases.get(name, 0.0) for name in PHASES) if phases else None}
    for part in PARTS:
        found[part] = _sum(record.timings, f"seconds/{part}")
    found["evaluate"], found["save"] = phases.get("evaluate"), phases.get("save")
    attempt = record.status.get("attempt")
    known = math.fsum(found[part] or 0.0 for part in PARTS)
    found["other"] = max(0.0, phases["train"] - known) if "train" in phases and attempt == 1 else None
    began, ended = record.status.get("started"), record.status.get("finished")
    found["total"] = ended - began if began is not None and ended is not None and attempt == 1 else None
    tokens = math.fsum(row["tokens"] for row in record.rollouts() if row.get("tokens") is not None)
    found["tokens_per_second"] = tokens / found["generate"] if tokens and found["generate"] else None
    return found


def data(record: Record) -> dict[str, Any]:
    """The training rows: how many were read, kept, left out for their length; and the audit of their labels, if any."""
    found = record.facts_of_data.get("data") or {}
    return {key: found.get(key) for key in ("rows", "kept", "too_long", "labels")}


def overlap(record: Record) -> dict[str, dict[str, int]]:
    """Training prompts that are in a benchmark, exactly or nearly; only benchmarks that have any."""
    found = (record.facts_of_data.get("data") or {}).get("overlap") or {}
    counts = {name: {k: v for k, v in one.items() if isinstance(v, int)} for name, one in found.items()}
    return {name: one for name, one in counts.items() if any(v for k, v in one.items() if k != "prompts")}


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float | None:
    known = [float(row[key]) for row in rows if row.get(key) is not None]
    return math.fsum(known) / len(known) if known else None


def _sum(rows: Sequence[dict[str, Any]], key: str) -> float | None:
    known = [float(row[key]) for row in rows if row.get(key) is not None]
    return math.fsum(known) if known else None
