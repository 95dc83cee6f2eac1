"""What one benchmark showed at one step: accuracy with intervals, code reasoning, boxes, truncation and length.

    found = summarize(rows.read(cell_dir, "math500", step=300), ks=(1, 8))
    found["accuracy"].mean, found["pass_at_k"][8].low, found["accuracy_with_code"]
    json.dumps(found, default=dataclasses.asdict)

Rows of several seeds of one arm may be given together; the intervals then are over questions and seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlvr_sweep.evals import statistics
from rlvr_sweep.rewards.text import has_box


def _one(rows: Sequence[Mapping[str, Any]], key: str) -> Any:
    """The value that all rows share. ValueError where they do not: their mean would be of two things."""
    found = {row[key] for row in rows}
    if len(found) > 1:
        raise ValueError(f"rows of more than one {key}: {', '.join(map(str, sorted(found)))}; give one at a time")
    return found.pop() if found else None


def _share(values: Iterable[bool | None]) -> float | None:
    """The share of true among those known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def summarize(rows: Iterable[Mapping[str, Any]], *, ks: Sequence[int] = (1,)) -> dict[str, Any]:
    """The facts of one benchmark at one step; rates are shares of completions, None where there are none.

    `accuracy_with_code` and `accuracy_without_code` are shares of right among the completions of each kind
    (spurious_rewards Tab. 1), so that code_frequency weighs them into the accuracy wherever every prompt has as many
    samples. ValueError for rows of two benchmarks or steps, of two cells with one seed, or with fewer than max(ks)
    samples a prompt.
    """
    rows = list(rows)
    benchmark, step = _one(rows, "benchmark"), _one(rows, "step")
    cells = {(row["seed"], row["cell_id"]) for row in rows}
    seeds = {seed for seed, _ in cells}
    if len(cells) > len(seeds):
        raise ValueError("rows of two cells with the same seed; give the cells of one arm at a time")
    return {
        "benchmark": benchmark,
        "step": step,
        "completions": len(rows),
        "accuracy": statistics.accuracy(rows),
        "accuracy_strict": statistics.accuracy(rows, verdict="correct_strict"),
        "accuracy_lenient": statistics.accuracy(rows, verdict="correct_lenient"),
        "pass_at_k": {k: statistics.pass_at_k(rows, k=k) for k in ks},
        "code_frequency": _share(row["has_code"] for row in rows),
        "accuracy_with_code": _share(row["correct"] for row in rows if row["has_code"]),
        "accuracy_without_code": _share(row["correct"] for row in rows if not row["has_code"]),
        "answered_rate": _share(row["answer"] is not None for row in rows),
        "boxed_rate": _share(has_box(row["text"]) for row in rows),
        "truncated_rate": _share(row["truncated"] for row in rows),
        "mean_tokens": sum(row["tokens"] for row in rows) / len(rows) if rows else None,
    }
