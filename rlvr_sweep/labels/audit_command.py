"""`label audit`: what an existing label file is worth, against gold answers or against its sibling of wrong labels.

python -m rlvr_sweep label audit labels-olmo.jsonl                            gold answers as the file holds them
python -m rlvr_sweep label audit majority_100.jsonl data=jsonl data.path=gold.jsonl --incorrect incorrect_100.jsonl
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.data.labels import Label, matched, read_labels
from rlvr_sweep.data.provenance import Provenance, read
from rlvr_sweep.data.sources import load
from rlvr_sweep.evals.jobs import compose, parser
from rlvr_sweep.labels.audit import Audit, Judged, accuracy, audit, clarity, overlap

MATH = "math"
GRADERS = ("authors", "math_verify")
LISTED = "incorrect_file"
NAMES = {"authors": "the authors' grader", "math_verify": "math-verify", LISTED: "the file of wrong labels"}


def _parser() -> Any:
    made = parser(
        "label audit",
        "How many labels of a file are right by both graders, how many are empty, how clear the votes were, and how\n"
        "much of the majority signal is the incorrect one. key=value words (data=..., data.path=...) say where the\n"
        "gold answers are; without them those in the file count.",
    )
    made.add_argument("file", type=Path, metavar="FILE", help="a label file")
    made.add_argument(
        "--incorrect", type=Path, metavar="FILE", help="the release's own file of the labels that are wrong"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """The verb `label audit`."""
    words = [word for word in argv if "=" not in word or word.startswith("-")]
    args = _parser().parse_args(words)
    overrides = [word for word in argv if word not in words]
    labels, made = read_labels(args.file, key="label audit"), read(args.file)
    verifier = MATH if made is None else made.data["verifier"]
    if overrides:
        [composed] = compose(overrides, config_dir=args.config_dir)[:1]
        rows = load(composed.cell.data, key="data").rows
        golds = {label.id: row.answer for label, row in matched(rows, labels)}
        verifier = composed.cell.data.verifier
    else:
        golds = {label.id: label.gold for label in labels if label.gold is not None}
    found = _by_graders(labels, golds, verifier) if golds else {}
    if args.incorrect:
        found[LISTED] = _by_list(labels, args.incorrect)
    if args.json:
        from rlvr_sweep.shown import as_json

        sys.stdout.write(
            as_json({"labels": len(labels), "empty": sum(not one.label for one in labels), "audits": found})
        )
        return 0
    _print(args.file, labels, made, found)
    return 0


def _by_graders(labels: Sequence[Label], golds: Mapping[str, str], verifier: str) -> dict[str, Audit]:
    """The audit by both math graders, or by the verifier of a task that is no maths. A label without a gold answer is
    unknown, an empty one is wrong."""
    from rlvr_sweep.grading.pool import Grader

    full = [label for label in labels if label.id in golds and label.label]
    found = {}
    with Grader() as grader:
        for name in GRADERS if verifier == MATH else (verifier,):
            by = grader.named(verifier, by=name)
            verdicts = by.verify([(golds[label.id], label.label) for label in full])
            known: dict[str, bool | None] = {label.id: False for label in labels if label.id in golds}
            known |= {label.id: verdict.correct for label, verdict in zip(full, verdicts, strict=True)}
            found[name] = audit([Judged(one.label, known.get(one.id), one.votes, one.samples) for one in labels])
    return found


def _by_list(labels: Sequence[Label], path: Path) -> Audit:
    """The audit by a file of wrong labels: one that stands there, with the same label, is wrong, the others are right.
    Only as good as that file is whole: those released reach beyond the last label of their siblings."""
    wrong = {(label.id, label.label) for label in read_labels(path, key="--incorrect")}
    return audit([Judged(one.label, (one.id, one.label) not in wrong, one.votes, one.samples) for one in labels])


def _print(file: Path, labels: Sequence[Label], made: Provenance | None, found: Mapping[str, Audit]) -> None:
    by = "no provenance" if made is None else f"of {made.model['name'] if made.model else made.vote['pick']}"
    print(f"{file.name}: {len(labels)} labels, {sum(not label.label for label in labels)} empty, {by}")
    for name, one in found.items():
        print(f"  right by {NAMES.get(name, name)}: {accuracy(one)}; {overlap(one)}")
    ratios = [one.majority_ratio for one in found.values() if one.majority_ratio is not None]
    if ratios:
        print(f"  {clarity(ratios[0])}")
    if not found:
        print("  the file holds no gold answers: write data=... (and data.path=...) to say where they are")
