"""Evaluates a model on a benchmark: sample, grade, rows. It draws from its own seeds, so training does not notice.

    rows = evaluate(task, generate, grader, decode, cell_id=..., step=80, seed=0, batch=64, ranks=Ranks(0, 1, list))

All ranks call it and make the same number of generate calls (ZeRO-3 gathers weights in each); the rows come back on
all ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlvr_sweep.config.schema import Benchmark
from rlvr_sweep.draws import draw
from rlvr_sweep.grading.extraction import extract
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.rewards.text import has_code


@dataclass(frozen=True)
class Task:
    """A benchmark with its problems as token ids."""

    name: str
    benchmark: Benchmark
    question_ids: list[str]
    questions: list[str]  # as text
    golds: list[str]
    prompts: list[list[int]]  # token ids
    max_tokens: int


class Generate(Protocol):
    """Token ids in, (token ids, truncated) out; a prompt's seed decides its draws."""

    def __call__(self, prompts: Sequence[list[int]], *, seeds: Sequence[int]) -> list[tuple[list[int], bool]]: ...


@dataclass(frozen=True)
class Ranks:
    """This process among those that evaluate together; `gather` concatenates lists over them, in rank order."""

    rank: int
    size: int
    gather: Callable[[list[Any]], list[Any]]


def evaluate(
    task: Task,
    generate: Generate,
    grader: Grader,
    decode: Callable[[list[list[int]]], list[str]],
    *,
    cell_id: str,
    step: int,
    seed: int,
    batch: int,
    ranks: Ranks,
) -> list[dict[str, Any]]:
    """Rows as in evals/rows.py, sorted by question and sample, complete on every rank; graded on rank 0 only (elsewhere
    the verdicts are None). The seeds of the draws do not depend on `step`: the same noise before and after."""
    jobs = [(q, s) for q in range(len(task.prompts)) for s in range(task.benchmark.samples)]
    per_rank = -(-len(jobs) // ranks.size)
    mine = jobs[ranks.rank * per_rank : (ranks.rank + 1) * per_rank]
    drawn: list[tuple[tuple[int, int], list[int], bool]] = []
    for start in range(0, per_rank, batch):  # the same number of calls on every rank, the last ones perhaps for nothing
        chunk = mine[start : start + batch] or jobs[:1]
        seeds = [draw(seed, "eval", task.name, task.question_ids[q], s) for q, s in chunk]
        samples = generate([task.prompts[q] for q, _ in chunk], seeds=seeds)
        if start < len(mine):
            drawn += [(job, ids, truncated) for job, (ids, truncated) in zip(chunk, samples, strict=True)]
    drawn = sorted(ranks.gather(drawn))
    texts = decode([ids for _, ids, _ in drawn])
    rows = []
    for ((question, sample), ids, truncated), text in zip(drawn, texts, strict=True):
        rows.append(
            {
                "cell_id": cell_id,
                "step": step,
                "benchmark": task.name,
                "prompt_id": task.question_ids[question],
                "question_id": task.question_ids[question],
                "sample": sample,
                "temperature": task.benchmark.temperature,
                "text": text,
                "answer": extract(text, how=task.benchmark.extraction),
                "has_code": has_code(text),
                "truncated": truncated,
                "tokens": len(ids),
                "seed": seed,
                "gold": task.golds[question],
            }
        )
    if ranks.rank == 0:
        _grade(rows, grader)
    return rows


def _grade(rows: list[dict[str, Any]], grader: Grader) -> None:
    """Add correct and reason (the benchmark's extraction), correct_strict (boxed) and correct_lenient (last number)."""
    columns = {
        "correct": [(r["gold"], r["answer"]) for r in rows],
        "correct_strict": [(r["gold"], extract(r["text"], how="boxed")) for r in rows],
        "correct_lenient": [(r["gold"], extract(r["text"], how="lenient")) for r in rows],
    }
    verdicts = iter(grader.verify([pair for pairs in columns.values() for pair in pairs]))
    for name in columns:
        for row in rows:
            verdict = next(verdicts)
            row[name] = verdict.correct
            if name == "correct":
                row["reason"] = verdict.reason
