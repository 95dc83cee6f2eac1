"""The verb `probe`: has a model seen a benchmark? It is given the beginning of each question and completes it.

python -m rlvr_sweep probe model=lab/qwen_math,lab/olmo eval=lab
python -m rlvr_sweep probe make-benchmark --steps 1-20 --count 100 --out random_calculation.jsonl

The method of arXiv 2507.10532 (model_task_alignment 1.3): 40, 60 and 80% of the question, greedy, no chat template.
What a model completes word by word, it has read; a benchmark made on the spot it cannot have read.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlvr_sweep.evals.job import Job, Prompt
from rlvr_sweep.evals.jobs import (
    benchmark_job,
    compose,
    model_names,
    need_benchmarks,
    parser,
    sample,
    with_model,
)
from rlvr_sweep.evals.store import Store
from rlvr_sweep.parser import positive

if TYPE_CHECKING:
    from rich.table import Table

MAKE = "make-benchmark"
MEASURES = {"rouge_l": "ROUGE-L", "exact": "exact", "answer": "answer", "other_answer": "other's", "correct": "graded"}
WITH_INTERVAL = ("rouge_l", "exact", "answer")


def percents(text: str) -> list[int]:
    """ "40,60,80". For argparse."""
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) < 100 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: write percentages between 1 and 99, as in 40,60,80")
    return sorted({int(part) for part in parts})


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "probe",
        "Partial-prompt completion: models complete the first part of each question of eval=..., greedily and without\n"
        "a chat template. Goes on from what was sampled before.",
        f"a clean benchmark, made on the spot: python -m rlvr_sweep probe {MAKE} --help",
    )
    made.add_argument(
        "--percent", type=percents, default=[40, 60, 80], metavar="P,P", help="of each question (default 40,60,80)"
    )
    made.add_argument("--max-tokens", type=positive, metavar="N", help="default: the benchmark's, or that of training")
    return made


def main(argv: list[str]) -> int:
    """The verb `probe`. Exit code 0, or that of a sampling process that could not do a job."""
    if argv[:1] == [MAKE]:
        from rlvr_sweep.evals.make_benchmark import main as make_benchmark

        return make_benchmark(argv[1:])
    args = _parser().parse_intermixed_args(argv)
    cells = compose(args.overrides, config_dir=args.config_dir)
    need_benchmarks(cells)
    arms: dict[tuple[str, str, int], Job] = {}  # benchmark, model, percent; greedy: one seed says it all
    for composed, model in zip(cells, model_names([c.cell for c in cells]), strict=True):
        cell = with_model(composed.cell, template="raw", stop=[], prefix=None).model_copy(update={"seed": 0})
        for bench in cell.eval.benchmarks:
            for percent in args.percent:
                arms[bench, model, percent] = benchmark_job(
                    composed,
                    bench,
                    cell=cell,
                    percent=percent,
                    temperature=0.0,
                    top_p=1.0,
                    max_completion_tokens=args.max_tokens,
                )
    stores, code = sample(list(arms.values()))
    found = {key: facts for key, job in arms.items() if (facts := measure(stores[job.id])) is not None}
    if args.json:
        from rlvr_sweep.shown import as_json

        keys = ("benchmark", "model", "percent")
        sys.stdout.write(as_json([dict(zip(keys, key, strict=True)) | facts for key, facts in found.items()]))
        return code
    _print(found)
    return code


def measure(store: Store) -> dict[str, Any] | None:
    """The facts of one model, benchmark and percentage; None where its rows are not whole."""
    from rlvr_sweep.evals import statistics

    if store.missing(samples=1) != []:
        return None
    rows = scored(store.prompts(), store.rows(samples=1, columns=["text", "correct", "seed"]))
    return {
        "questions": len(rows),
        "too_short": store.skipped,
        **{name: _mean(rows, name) for name in MEASURES if name != "correct"},
        "correct": statistics.accuracy(rows),
        "rows": str(store.path),
    }


def scored(prompts: Sequence[Prompt], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with rouge_l and exact against the rest of the question, `answer` (the continuation holds the gold
    answer) and `other_answer`: it holds the gold answer of the next question that has another one, as chance would."""
    from rlvr_sweep.evals.probe_scores import compare, holds

    golds = [prompt.gold for prompt in prompts]
    found = []
    for at, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        assert prompt.rest is not None
        match = compare(row["text"], rest=prompt.rest)
        others = [gold for gold in golds[at + 1 :] + golds[:at] if gold != prompt.gold]
        found.append(
            dict(row)
            | {
                "rouge_l": match.rouge_l,
                "exact": float(match.exact),
                "answer": float(holds(row["text"], prompt.gold)),
                "other_answer": float(holds(row["text"], others[0])) if others else None,
            }
        )
    return found


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """The mean of a score with its interval over questions, by evals/statistics.py."""
    import numpy as np

    from rlvr_sweep.evals.statistics import Table, interval

    known = [row for row in rows if row[name] is not None]
    values = np.array([[row[name]] for row in known], dtype=float).reshape(len(known), 1)
    ids = [row["question_id"] for row in known]
    return interval(Table(values, np.ones_like(values, dtype=np.int64), ids, [0], unscorable=len(rows) - len(known)))


def table(found: Mapping[int, Mapping[str, Any]]) -> "Table":
    """One benchmark and model: a row a percentage that was given, in percent."""
    from rich.table import Table

    from rlvr_sweep.shown import interval, percent

    made = Table(box=None, pad_edge=False)
    for name in ("given", *MEASURES.values()):
        made.add_column(name, justify="right", no_wrap=True)
    for given, facts in found.items():
        first = (interval(facts[name]) for name in WITH_INTERVAL)
        rest = (percent(facts[name].mean) for name in MEASURES if name not in WITH_INTERVAL)
        made.add_row(f"{given}%", *first, *rest)
    return made


def _print(found: Mapping[tuple[str, str, int], Mapping[str, Any]]) -> None:
    from rich.console import Console

    if not found:
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for bench, model in dict.fromkeys((bench, model) for bench, model, _ in found):
        rows = {given: facts for (b, m, given), facts in found.items() if (b, m) == (bench, model)}
        short = max(facts["too_short"] for facts in rows.values())
        left_out = f" ({short} more are too short to be cut so early)" if short else ""
        console.print(f"{bench}, {model}: {max(facts['questions'] for facts in rows.values())} questions{left_out}")
        console.print(table(rows), crop=False)
        console.print()
    console.print(
        "percent [95% interval over questions] of continuations. ROUGE-L (F1) and exact match: with the rest of the\n"
        "question; answer: the gold answer is in it; other's: another question's is; graded: what it answers is right"
    )
