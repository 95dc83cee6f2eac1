"""The verb `label`: pseudo-labels for training prompts, by a vote over samples of the model before any RL.

python -m rlvr_sweep label model=lab/olmo --out labels.jsonl            then: reward=incorrect data.labels=labels.jsonl
python -m rlvr_sweep label model=qwen2.5_math_7b data=deepscaler algo=spurious_rewards --authors
python -m rlvr_sweep label audit labels.jsonl

Without --out the file is labels/MODEL/DATA.jsonl, where reward=labelled/... looks for it.
Samples are kept (evals/store.py): a command that was killed goes on where it stopped, and another vote, filter or rank
over the same samples asks the model nothing.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr_sweep.data.provenance import AUTHORS, AUTHORS_TOKENS, default_path, read, sidecar
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job
from rlvr_sweep.evals.jobs import compose, parser, sample, share, temperature
from rlvr_sweep.evals.store import Store
from rlvr_sweep.labels.making import OF_GOLD, Choice, Made
from rlvr_sweep.parser import positive

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed
    from rlvr_sweep.config.schema import Cell

AUDIT = "audit"
FILTERS = ("all", "correct", "incorrect", "never_correct", "code")
OF_SAMPLES = ("never_correct", "code")  # the filters that look at samples


def pick(text: str) -> str:
    """What becomes the label: majority, least, shuffled, gold, or a rank. For argparse."""
    if text in ("majority", "least", "shuffled", "gold") or (text.isdecimal() and int(text) >= 1):
        return {"majority": "1", "least": "-1"}.get(text, text)
    raise argparse.ArgumentTypeError(
        f"{text!r}: write majority, least, shuffled, gold, or a rank (2: second most common)"
    )


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "label",
        "Samples a model on the training prompts of data=..., votes, and writes a label file with its provenance.\n"
        "Goes on from what was sampled before.",
        f"what a file is worth: python -m rlvr_sweep label {AUDIT} --help",
    )
    made.add_argument("--out", type=Path, metavar="FILE", help="default: labels/MODEL/DATA.jsonl")
    made.add_argument("-n", "--samples", type=positive, default=64, metavar="N", help="of each prompt (default 64)")
    made.add_argument("--temperature", type=temperature, default=1.0, metavar="T", help="default 1")
    made.add_argument(
        "--vote",
        choices=["exact", "equivalence"],
        help="what counts as one answer: exactly the same string, or what the grader holds equal (default equivalence)",
    )
    made.add_argument(
        "--pick",
        type=pick,
        default="1",
        metavar="WHAT",
        help="majority, a rank, least, shuffled or gold (default majority)",
    )
    made.add_argument("--filter", choices=FILTERS, default="all", help="which prompts to keep (default all)")
    made.add_argument(
        "--code-share", type=share, metavar="P", help="for --filter code: at most this share of samples holds python"
    )
    made.add_argument(
        "--empty",
        choices=["keep", "drop"],
        help="prompts without any answer: an empty label, or no line (default drop)",
    )
    made.add_argument(
        "--authors",
        action="store_true",
        help="as Spurious Rewards did: bare prompts, exact votes, empty labels kept, the authors' extractor and grader",
    )
    return made


def main(argv: list[str]) -> int:
    """The verb `label`. Exit code 0, or that of the sampling process."""
    if argv[:1] == [AUDIT]:
        from rlvr_sweep.labels.audit_command import main as audit_main

        return audit_main(argv[1:])
    args = _parser().parse_intermixed_args(argv)
    if (args.filter == "code") != (args.code_share is not None):
        raise UserError("--filter code: needs --code-share P, and nothing else does; write both, or neither")
    cells = compose(args.overrides, *(AUTHORS if args.authors else ()), config_dir=args.config_dir)
    if len(cells) > 1:
        raise UserError(f"label: one file is of one model, data and seed, these are {len(cells)}; write one of each")
    [composed] = cells
    choice = Choice(
        vote=args.vote or ("exact" if args.authors else "equivalence"),
        pick=args.pick,
        filter=args.filter,
        code_share=args.code_share,
        empty=args.empty or ("keep" if args.authors else "drop"),
    )
    out = args.out or default_path(composed.cell)
    _refuse_strangers(out)
    store = None
    if args.pick not in OF_GOLD or args.filter in OF_SAMPLES:
        job = label_job(composed, samples=args.samples, temperature=args.temperature)
        if args.authors and job.max_tokens != AUTHORS_TOKENS:  # told before the work, and beside the numbers of cells
            print(
                f"--authors: samples end at {job.max_tokens} tokens by algo={composed.cell.algo.name}, those of the "
                f"paper's code at {AUTHORS_TOKENS}; write algo=spurious_rewards for that",
                file=sys.stderr,
            )
        stores, code = sample([job])
        store, args.samples = stores[job.id], job.benchmark.samples
        if store.missing(samples=args.samples) != []:
            return code or 1
    return _finish(store, choice, composed, out, args, command=["python", "-m", "rlvr_sweep", "label", *argv])


def label_job(composed: "Composed", *, samples: int, temperature: float) -> Job:
    """The job that samples a cell's training prompts."""
    from rlvr_sweep.config.schema import Benchmark, Eval, Source

    cell = composed.cell
    source = {name: getattr(cell.data, name) for name in Source.model_fields}
    bench = Benchmark(
        **source,
        samples=1 if temperature == 0 else samples,
        temperature=temperature,
        max_completion_tokens=cell.algo.max_completion_tokens,
        extraction=cell.algo.extraction,
    )
    batch = cell.compute.generate_batch or cell.eval.batch
    how = Eval(name="label", benchmarks={"label": bench}, every=0, batch=batch)
    return Job("label", cell.model_copy(update={"eval": how}), composed.hashes)


def _refuse_strangers(out: Path) -> None:
    """Before the work: a file that this verb has not made is not touched."""
    if out.suffix != ".jsonl":
        raise UserError(f"--out {out}: write a name that ends in .jsonl")
    if out.exists() and read(out) is None:
        raise UserError(f"--out {out}: is there, and was not made by this verb; write another name")


def _finish(
    store: Store | None,
    choice: Choice,
    composed: "Composed",
    out: Path,
    args: argparse.Namespace,
    *,
    command: list[str],
) -> int:
    """Vote, write and say what came out."""
    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.labels.making import make, source
    from rlvr_sweep.labels.writing import write

    cell = composed.cell
    with Grader.within(cell.grading) as grader:
        made = make(source(cell, store, samples=args.samples), choice, cell, grader)
    write(out, made, choice, composed, store, samples=args.samples, command=shlex.join(command))
    if args.json:
        from rlvr_sweep.shown import as_json

        sys.stdout.write(as_json({"labels": str(out), "counts": made.counts, "audit": made.audit}))
    else:
        _print(out, made, cell)
    return 0


def _print(out: Path, made: Made, cell: "Cell") -> None:
    from rlvr_sweep.labels.audit import accuracy, clarity, overlap

    how = f"{made.lines[0].samples} samples a prompt" if made.lines[0].samples else "of no samples"
    print(f"{out}: {len(made.lines)} labels, {how}; provenance in {sidecar(out)}")
    for name, count in made.counts.items():
        if count:
            print(f"  {name}: {count}")
    found = made.audit
    by = {"math_verify": "math-verify", "authors": "the authors' grader"}[cell.grading.grader]
    by = by if cell.data.verifier == "math" else cell.data.verifier
    print(f"  right by {by}: {accuracy(found)}, {found.empty} empty; {overlap(found)}")
    if found.majority_ratio is not None:
        print(f"  {clarity(found.majority_ratio)}")
