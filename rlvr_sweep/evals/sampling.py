"""Evaluates a model on a benchmark: sample, grade, rows. It draws from its own seeds, so training does not notice.

    rows = evaluate(task, generate, grader, decode, cell_id=..., step=80, seed=0, batch=64, ranks=Ranks(0, 1, list),
                    by="math_verify")

All ranks call it and make the same number of generate calls (ZeRO-3 gathers weights in each); the rows come back on
all ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlvr_sweep.config.schema import Benchmark, Cell, MathGrader
from rlvr_sweep.data.templates import respond
from rlvr_sweep.draws import draw
from rlvr_sweep.grading import authors, rules
from rlvr_sweep.grading.extraction import extract
from rlvr_sweep.grading.pool import Grader, Verifier
from rlvr_sweep.rewards.text import has_code

VLLM_BATCH = 4096  # completions a call, which it batches itself; a kill of what only samples loses no more


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
    prefix: str | None = None  # the forced start of every response; in the prompts, and in the rows' texts
    blind: bool = False  # answers become labels: the gold answer must not say how they are read


class Generate(Protocol):
    """Token ids in, (token ids, truncated) out; a prompt's seed decides its draws."""

    def __call__(self, prompts: Sequence[list[int]], *, seeds: Sequence[int]) -> list[tuple[list[int], bool]]: ...


@dataclass(frozen=True)
class Ranks:
    """This process among those that evaluate together; `gather` concatenates lists over them, in rank order."""

    rank: int
    size: int
    gather: Callable[[list[Any]], list[Any]]


def at_once(cell: Cell) -> int:
    """Completions a generate call and rank. For vLLM not the few of eval.batch: each call ends with its longest
    completion, and begins with a push of the weights where the engine sleeps."""
    return cell.eval.batch if cell.compute.backend == "hf" else max(cell.eval.batch, VLLM_BATCH)


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
    by: MathGrader,
    jobs: Sequence[tuple[int, int]] | None = None,
) -> list[dict[str, Any]]:
    """Rows as in evals/rows.py, sorted by question and sample, complete on every rank; graded on rank 0 only (elsewhere
    the verdicts are None). The seeds of the draws do not depend on `step`: the same noise before and after.

    `by`: the math grader that `correct` and `answer` go by; both are recorded.
    `jobs`: only these (index of the question, number of the sample), all where it is None."""
    if jobs is None:
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
    verifier = task.benchmark.verifier
    texts = [respond(task.prefix, text) for text in decode([ids for _, ids, _ in drawn])]
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
                "answer": rules.extract(text, verifier=verifier, how=task.benchmark.extraction),
                "has_code": has_code(text),
                "truncated": truncated,
                "tokens": len(ids),
                "seed": seed,
                "gold": task.golds[question],
            }
        )
    if ranks.rank == 0:
        if verifier == rules.MATH:
            _grade(rows, grader, by=by, tagged=task.benchmark.extraction == "tagged", blind=task.blind)
        else:
            _grade_by(rows, grader.named(verifier))
    return rows


def _grade(rows: list[dict[str, Any]], grader: Grader, *, by: MathGrader, tagged: bool, blind: bool) -> None:
    """Add what both graders say: correct_math_verify of the benchmark's extraction, correct_authors of the authors'
    own; correct, reason and answer of the one in `by`; correct_strict (boxed) and correct_lenient (last number), which
    are math-verify's."""
    columns = {
        "correct_math_verify": [(r["gold"], r["answer"]) for r in rows],
        "correct_strict": [(r["gold"], extract(r["text"], how="boxed")) for r in rows],
        "correct_lenient": [(r["gold"], extract(r["text"], how="lenient")) for r in rows],
    }
    verdicts = iter(grader.verify([pair for pairs in columns.values() for pair in pairs]))
    for name in columns:
        for row in rows:
            verdict = next(verdicts)
            row[name] = verdict.correct
            if name == "correct_math_verify":
                row |= {"correct": verdict.correct, "reason": verdict.reason}
    claims = [authors.claim(row["text"], gold="" if blind else row["gold"], tagged=tagged) for row in rows]
    pairs = [(row["gold"], claim) for row, claim in zip(rows, claims, strict=True)]
    for row, claim, verdict in zip(rows, claims, grader.verify(pairs, verifier=authors.NAME), strict=True):
        row["correct_authors"] = verdict.correct
        if by == "authors":
            row |= {"correct": verdict.correct, "reason": verdict.reason, "answer": claim or None}


def _grade_by(rows: list[dict[str, Any]], verifier: Verifier) -> None:
    """The same columns where the task is no maths: its verifier says them all, the two math graders nothing."""
    columns = {
        "correct": [(r["gold"], r["answer"]) for r in rows],
        "correct_strict": [(r["gold"], verifier.extract(r["text"], how="boxed")) for r in rows],
        "correct_lenient": [(r["gold"], verifier.extract(r["text"], how="lenient")) for r in rows],
    }
    verdicts = iter(verifier.verify([pair for pairs in columns.values() for pair in pairs]))
    for name in columns:
        for row in rows:
            verdict = next(verdicts)
            row |= {name: verdict.correct} | ({"reason": verdict.reason} if name == "correct" else {})
    for row in rows:
        row |= {"correct_math_verify": None, "correct_authors": None}
