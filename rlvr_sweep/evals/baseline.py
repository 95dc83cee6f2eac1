"""The verb `baseline`: how good a model is before any RL, by prompt and by decoding.

python -m rlvr_sweep baseline model=lab/qwen_math,lab/olmo eval=lab --decoding greedy,1.0@4

A gain over one prompt's baseline may be another prompt's baseline: Qwen2.5-Math-7B has 49.4 on MATH-500 with its
default prompt and 68.8 behind lorem ipsum (spurious_rewards, sections 6.8 and 8).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.jobs import (
    benchmark_job,
    compose,
    model_names,
    need_benchmarks,
    parser,
    sample,
    with_model,
)
from rlvr_sweep.nearest import nearest
from rlvr_sweep.parser import positive

if TYPE_CHECKING:
    from rich.table import Table

    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.config.schema import Cell

PYTHON = "Let's solve this using Python."  # spurious_rewards, table 3


class Decoding(NamedTuple):
    """Greedy (temperature 0), or so many samples at a temperature, of which the mean counts: avg@n."""

    temperature: float
    samples: int

    @property
    def name(self) -> str:
        return "greedy" if self.temperature == 0 else f"T {self.temperature:g} avg@{self.samples}"


def decoding(text: str) -> Decoding:
    """ "greedy", or "0.6@8". For argparse."""
    temperature, at, samples = text.partition("@")
    try:
        found = Decoding(0.0, 1) if text == "greedy" else Decoding(float(temperature), int(samples))
    except ValueError:
        found = None
    if found is None or found.samples < 1 or (at and not 0 < found.temperature < float("inf")):
        raise argparse.ArgumentTypeError(f"{text!r}: write greedy, or TEMPERATURE@SAMPLES as in 0.6@8")
    return found


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "baseline",
        "Accuracy, boxed rate and code share of models before any RL: prompts x decodings, over the benchmarks of\n"
        "eval=... with 95% intervals over questions. Goes on from what was sampled before.",
    )
    made.add_argument(
        "--templates",
        type=lambda text: text.split(","),
        metavar="A,B",
        help="of data/templates.py (default: all that the model lists)",
    )
    made.add_argument(
        "--decoding",
        type=lambda text: [decoding(part) for part in text.split(",")],
        default=[decoding("greedy"), decoding("0.6@8")],
        metavar="D,D",
        help="greedy, or TEMPERATURE@SAMPLES (default greedy,0.6@8)",
    )
    made.add_argument(
        "--prefix",
        default=PYTHON,
        metavar="TEXT",
        help=f"a forced start of the response, with the model's own template (default {PYTHON!r}; '' leaves it out)",
    )
    made.add_argument("--max-tokens", type=positive, metavar="N", help="default: the benchmark's, or that of training")
    return made


def prompts(cell: "Cell", *, templates: Sequence[str] | None, prefix: str) -> "dict[str, Cell]":
    """The cell with each prompt, by its name in the table. UserError: a template that is none of the model's."""
    from rlvr_sweep.data.templates import TEMPLATES

    own = cell.model.template
    found = {}
    for name in templates or cell.model.templates:
        if name not in cell.model.templates:
            raise UserError(f"--templates {name}: is not for {cell.model.name}; {nearest(name, cell.model.templates)}")
        end = TEMPLATES[name].end
        # A template's stop string is its own; another's has no meaning in it.
        stop = cell.model.stop if name == own else [end] if end else []
        found[name] = with_model(cell, template=name, stop=stop)
    if prefix:
        found[f"{own} + prefix"] = with_model(cell, prefix=prefix)
    return found


def reading(cell: "Cell", bench: str) -> str | None:
    """How answers are read behind this cell's prompt, where the benchmark's way is another prompt's; None leaves it."""
    from rlvr_sweep.config.departures import unread_tags
    from rlvr_sweep.data.templates import asks_for_tags

    if f"eval.benchmarks.{bench}" in unread_tags(cell):
        return "tagged"
    is_tagged = cell.eval.benchmarks[bench].extraction == "tagged"
    return "boxed" if is_tagged and not asks_for_tags(cell.model.template) else None


def main(argv: list[str]) -> int:
    """The verb `baseline`. Exit code 0, or that of a sampling process that could not do a job."""
    args = _parser().parse_intermixed_args(argv)
    cells = compose(args.overrides, config_dir=args.config_dir)
    need_benchmarks(cells)
    arms: dict[tuple[str, str, str, Decoding], list[Job]] = {}  # benchmark, model, prompt, decoding: its seeds
    for composed, model in zip(cells, model_names([c.cell for c in cells]), strict=True):
        for bench, prompt, how, job in _jobs(composed, args):
            arms.setdefault((bench, model, prompt, how), []).append(job)
    stores, code = sample([job for jobs in arms.values() for job in jobs])
    found = {key: _measure(jobs, stores) for key, jobs in arms.items()}
    if args.json:
        from rlvr_sweep.shown import as_json

        sys.stdout.write(
            as_json(
                [
                    {"benchmark": bench, "model": model, "prompt": prompt, "decoding": how.name, **facts}
                    for (bench, model, prompt, how), facts in found.items()
                    if facts is not None
                ]
            )
        )
        return code
    _print(found, prefix=args.prefix)
    return code


def _jobs(composed: "Composed", args: argparse.Namespace) -> list[tuple[str, str, Decoding, Job]]:
    cells = prompts(composed.cell, templates=args.templates, prefix=args.prefix)
    return [
        (
            bench,
            prompt,
            how,
            benchmark_job(
                composed,
                bench,
                cell=cell,
                samples=how.samples,
                temperature=how.temperature,
                max_completion_tokens=args.max_tokens,
                extraction=reading(cell, bench),
            ),
        )
        for bench in composed.cell.eval.benchmarks
        for prompt, cell in cells.items()
        for how in args.decoding
    ]


def _measure(jobs: Sequence[Job], stores: Mapping[str, Any]) -> dict[str, Any] | None:
    """What evals/summary.py says of the rows of all seeds; None where one of them is not whole."""
    from rlvr_sweep.evals.summary import summarize

    rows, n = [], jobs[0].benchmark.samples
    for job in {job.id: job for job in jobs}.values():
        if stores[job.id].missing(samples=n) != []:
            return None
        rows += stores[job.id].rows(samples=n)
    return summarize(rows) | {"rows": [str(stores[job.id].path) for job in jobs]}


def table(found: Mapping[tuple[str, Decoding], Mapping[str, Any] | None]) -> "Table":
    """One benchmark and model: a row a prompt and decoding, in percent; "-" where nothing could be sampled."""
    from rich.table import Table

    from rlvr_sweep.shown import interval, percent

    made = Table(box=None, pad_edge=False)
    for name in ("prompt", "decoding"):
        made.add_column(name, no_wrap=True)
    for name in ("accuracy", "lenient", "boxed", "code", "cut off"):
        made.add_column(name, justify="right", no_wrap=True)
    for (prompt, how), facts in found.items():
        if facts is None:
            made.add_row(prompt, how.name, *"-----")
            continue
        rates = [percent(facts[key]) for key in ("boxed_rate", "code_frequency", "truncated_rate")]
        made.add_row(prompt, how.name, interval(facts["accuracy"]), percent(facts["accuracy_lenient"].mean), *rates)
    return made


def _print(found: Mapping[tuple[str, str, str, Decoding], Mapping[str, Any] | None], *, prefix: str) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for bench, model in dict.fromkeys((bench, model) for bench, model, _, _ in found):
        rows = {(p, how): facts for (b, m, p, how), facts in found.items() if (b, m) == (bench, model)}
        asked = next((f["accuracy"].n_questions for f in rows.values() if f is not None), None)
        console.print(f"{bench}, {model}" + (f": {asked} questions" if asked else ""))
        console.print(table(rows), crop=False)
        console.print()
    console.print("percent [95% interval over questions]; lenient: unboxed answers count; code: the text holds python")
    if prefix:
        console.print(f"prefix: every response begins with {prefix!r}")
