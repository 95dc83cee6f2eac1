"""The verb `align`: pass@k of models before any RL, over tasks: how much of a task is within a model's reach.

python -m rlvr_sweep align model=lab/qwen_math,lab/olmo eval=lab_tasks --samples 256

Model-task alignment (arXiv 2508.21188) is this number; the paper names no threshold, and neither does the table. Every
answer is kept (evals/store.py): more samples, another model or task go on from what is there.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.jobs import (
    benchmark_job,
    compose,
    model_names,
    need_benchmarks,
    parser,
    sample,
    temperature,
    top_p,
)
from rlvr_sweep.evals.store import FOLDER, content_id
from rlvr_sweep.parser import positive

if TYPE_CHECKING:
    from rich.table import Table

    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.evals.statistics import Estimate

COLUMNS = ["question_id", "correct", "seed"]


def _parser() -> Any:
    made = parser(
        "align",
        "pass@k of models before any RL, over the benchmarks of eval=...: unbiased (1 - C(n-c, k) / C(n, k)), with\n"
        "95% intervals over questions (and seeds: seed=0,1,2), a table and a picture. Goes on from what was sampled.",
        "RLVR-Decomposed's setting (arXiv 2506.01347): --samples 256 --temperature 0.6 --top-p 0.95",
    )
    made.add_argument("-n", "--samples", type=positive, default=256, metavar="N", help="of each question (default 256)")
    made.add_argument(
        "--temperature", type=temperature, metavar="T", help="default: that of training, algo.temperature"
    )
    made.add_argument("--top-p", type=top_p, default=1.0, metavar="P", help="default 1")
    made.add_argument("--max-tokens", type=positive, metavar="N", help="default: the benchmark's, or that of training")
    made.add_argument("--figure", type=_png, metavar="FILE.png", help="the picture (default: beside the samples)")
    return made


def _png(text: str) -> Path:
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r}: the picture is a PNG; write {Path(text).stem}.png")
    return Path(text)


def ks(samples: int) -> list[int]:
    """1, 2, 4, ... up to the number of samples."""
    return [2**power for power in range(samples.bit_length()) if 2**power <= samples]


def main(argv: list[str]) -> int:
    """The verb `align`. Exit code 0, or that of a sampling process that could not do a job."""
    args = _parser().parse_intermixed_args(argv)
    cells = compose(args.overrides, config_dir=args.config_dir)
    need_benchmarks(cells)
    _warn(cells)
    names = model_names([composed.cell for composed in cells])
    arms: dict[tuple[str, str], list[Job]] = {}  # (task, model): its seeds
    for composed, model in zip(cells, names, strict=True):
        for task in composed.cell.eval.benchmarks:
            job = benchmark_job(
                composed,
                task,
                samples=args.samples,
                temperature=composed.cell.algo.temperature if args.temperature is None else args.temperature,
                top_p=args.top_p,
                max_completion_tokens=args.max_tokens,
            )
            arms.setdefault((task, model), []).append(job)
    stores, code = sample([job for jobs in arms.values() for job in jobs])
    tasks = list(dict.fromkeys(task for task, _ in arms))
    in_order = sorted(arms, key=lambda key: tasks.index(key[0]))
    measured = {key: measure(arms[key], stores) for key in in_order}
    found = {key: facts for key, facts in measured.items() if facts is not None}
    if args.json:
        from rlvr_sweep.shown import as_json

        sys.stdout.write(as_json([{"task": task, "model": model, **facts} for (task, model), facts in found.items()]))
        return code
    _print(found, args.figure or Path(cells[0].cell.runs) / FOLDER / f"align-{content_id(list(stores))}.png")
    return code


def _warn(cells: "Sequence[Composed]") -> None:
    """Say where a pass@k of 0 would be one of answers that nobody looked for."""
    from rlvr_sweep.config.departures import unread_tags

    lines = [line for one in cells for key, line in unread_tags(one.cell).items() if key != "algo"]
    for line in dict.fromkeys(lines):
        print(f"rlvr_sweep: {line}", file=sys.stderr)


def measure(jobs: Sequence[Job], stores: Mapping[str, Any]) -> dict[str, Any] | None:
    """The facts of one model and task from the jobs of its seeds; None where one of them is not whole."""
    from rlvr_sweep.evals import statistics

    rows, n = [], jobs[0].benchmark.samples
    for job in {job.id: job for job in jobs}.values():
        if stores[job.id].missing(samples=n) != []:
            return None
        rows += stores[job.id].rows(samples=n, columns=COLUMNS)
    bench = jobs[0].benchmark
    return {
        "questions": len({row["question_id"] for row in rows}),
        "samples": n,
        "temperature": bench.temperature,
        "top_p": bench.top_p,
        "max_tokens": jobs[0].max_tokens,
        "pass_at_k": {k: statistics.pass_at_k(rows, k=k) for k in ks(n)},
        "rows": [str(stores[job.id].path) for job in jobs],
    }


def table(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> "Table":
    """Models x tasks: pass@1, pass@n and one between, in percent with intervals; all k are in the picture and JSON."""
    from rich.table import Table

    from rlvr_sweep.shown import interval

    fewest = min(facts["samples"] for facts in found.values())
    shown = sorted({1, ks(fewest)[len(ks(fewest)) // 2], ks(fewest)[-1]})
    made = Table(box=None, pad_edge=False)
    for name in ("task", "model"):
        made.add_column(name, no_wrap=True)
    for k in shown:
        made.add_column(f"pass@{k}", justify="right", no_wrap=True)
    for (task, model), facts in found.items():
        estimates: Mapping[int, Estimate] = facts["pass_at_k"]
        made.add_row(task, model, *(interval(estimates[k]) for k in shown))
    return made


def _print(found: Mapping[tuple[str, str], Mapping[str, Any]], picture: Path) -> None:
    from rich.console import Console

    from rlvr_sweep.evals.align_figure import figure
    from rlvr_sweep.shown import shown

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not found:
        return
    console.print(table(found), crop=False)
    unscorable = sum(facts["pass_at_k"][1].unscorable for facts in found.values())
    settings = sorted({_setting(facts) for facts in found.values()})
    console.print(f"\npercent [95% interval over questions]; {'; '.join(settings)}")
    if unscorable:
        console.print(f"{unscorable} completions could not be judged and count neither as right nor as wrong")
        for (task, model), facts in found.items():
            k, largest = max(facts["pass_at_k"].items())
            if largest.n_questions < facts["questions"]:
                left = f"{largest.n_questions} of {facts['questions']} questions"
                console.print(f"{task}, {model}: pass@{k} is of {left}, those with {k} completions that were judged")
    console.print(f"picture: {shown(figure(found, picture))}")


def _setting(facts: Mapping[str, Any]) -> str:
    nucleus = "" if facts["top_p"] == 1 else f", top-p {facts['top_p']:g}"
    samples = f"{facts['samples']} samples each" if facts["samples"] > 1 else "one sample each"
    return (
        f"{facts['questions']} questions, {samples}, temperature {facts['temperature']:g}{nucleus}, "
        f"at most {facts['max_tokens']} tokens"
    )
