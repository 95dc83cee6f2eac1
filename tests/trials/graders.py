r"""Where the two math graders disagree: over gold answers echoed in a box, or over texts that an evaluation recorded.

    python -m tests.trials.graders math500.jsonl
    python -m tests.trials.graders runs/NAME/evals/math500/step-000300.parquet --extraction lenient

A line a disagreement: the gold answer, what each grader took for the answer, what it said of it, and its reason.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlvr_sweep.grading import authors
from rlvr_sweep.grading.extraction import How, extract
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.grading.verdict import Verdict


def pairs(file: Path) -> list[tuple[str, str]]:
    """(gold, text) of a file: gold answers of JSON lines (`answer`) echoed, or the rows of an evaluation."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.ParquetFile(file).read(columns=["gold", "text"]).to_pylist()
        return [(row["gold"], row["text"]) for row in rows]
    golds = [json.loads(line)["answer"] for line in file.read_text().splitlines() if line.strip()]
    return [(gold, rf"So the answer is $\boxed{{{gold}}}$.") for gold in golds]


def _said(answer: str | None, verdict: Verdict) -> str:
    word = {True: "right", False: "wrong", None: "unknown"}[verdict.correct]
    return f"{answer!r} {word} ({verdict.reason})"


def compare(found: Sequence[tuple[str, str]], grader: Grader, *, how: How) -> Iterator[str]:
    """The lines of a report, the counts last."""
    ours = [extract(text, how=how) for _, text in found]
    theirs = [authors.claim(text, gold=gold) for gold, text in found]
    golds = [gold for gold, _ in found]
    first = grader.verify(list(zip(golds, ours, strict=True)))
    second = grader.verify(list(zip(golds, theirs, strict=True)), verifier=authors.NAME)
    apart = 0
    for gold, a, b, v, w in zip(golds, ours, theirs, first, second, strict=True):
        if v.correct is not w.correct:
            apart += 1
            yield f"  gold {gold!r}: math-verify {_said(a, v)}; authors {_said(b, w)}"
    a, b = (sum(v.correct is True for v in verdicts) for verdicts in (first, second))
    yield f"  {len(found)} answers: {a} right by math-verify, {b} by the authors' grader; {apart} disagree"


def main() -> None:
    """Print the report of each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--extraction", choices=("boxed", "tagged", "lenient"), default="boxed", help="math-verify's")
    arguments = parser.parse_args()
    with Grader(workers=1) as grader:
        for file in arguments.files:
            print(file)
            for line in compare(pairs(file), grader, how=arguments.extraction):
                print(line)


if __name__ == "__main__":
    main()
