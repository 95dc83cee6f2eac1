"""Which few examples to train on, by the variance of their accuracy over training (One-Shot RLVR, arXiv 2504.20571).

    python -m rlvr_sweep one-shot acc_step_500.json --ranks 1,13    # a history made elsewhere: {"id": [0.5, ...], ...}
    python -m rlvr_sweep one-shot --run 3f2a --ranks 1              # one of our own runs, from its rollouts

prints the ranking and the lines to paste behind a command. The order is that of the authors' script: descending
numpy.std, and among equals as the history has them; only so do its tails (equal variances) come out as published.
"""

import argparse
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser, positive

COPY = re.compile(r"#\d+$")  # what data/order.py appends to an id when a row is visited again
REPLACED = ("data.ids", "data.repeat", "data.labels", "data.label_filter")  # by the lines that are to be pasted
PLAIN = re.compile(r"[A-Za-z][\w.-]*|0|[1-9]\d*")  # an id that Hydra's grammar takes, and gives back, without quotes


@dataclass(frozen=True)
class Ranked:
    """One example: `rank` counts from 1, `variance` (population) and `mean` are over its `count` accuracies."""

    rank: int
    id: str
    variance: float
    mean: float
    count: int


def rank(history: Mapping[str, Sequence[float]]) -> list[Ranked]:
    """The examples of a history (id -> accuracies in [0, 1], in the order of training), the most varied first."""
    import numpy as np

    spread = {key: float(np.std(values)) for key, values in history.items()}
    ordered = sorted(history, key=lambda key: spread[key], reverse=True)  # stable: equals keep their order
    return [
        Ranked(number, key, spread[key] ** 2, float(np.mean(history[key])), len(history[key]))
        for number, key in enumerate(ordered, 1)
    ]


def read_history(path: Path) -> dict[str, list[float]]:
    """A JSON object of id -> accuracies. UserError: no such file, another form, an accuracy outside [0, 1]."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write a JSON file of id -> accuracies, or --run CELL") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); write a JSON file, or --run CELL") from None
    except ValueError as error:
        raise UserError(f'{path}: not JSON ({error}); write {{"id": [0.5, 0.25], ...}}') from None
    if not isinstance(document, dict) or not document:
        raise UserError(f'{path}: not an object of id -> accuracies; write {{"id": [0.5, 0.25], ...}}')
    for key, values in document.items():
        fine = isinstance(values, list) and values and all(_is_accuracy(value) for value in values)
        if not fine:
            raise UserError(f"{path}: {key!r} has no accuracies; write a list of one or more numbers from 0 to 1")
    return document


def _is_accuracy(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def run_history(cell_dir: Path) -> dict[str, list[float]]:
    """The accuracy of every visit of each training row of a cell (over its completions that could be graded), by row id
    in the order of first visit. UserError: no rollouts there, or no completion that could be graded."""
    import pyarrow.parquet as pq

    parts = sorted((cell_dir / "rollouts").glob("part-*.parquet"))
    if not parts:
        raise UserError(f"{cell_dir}: holds no rollouts; write --run with a cell that has trained")
    visits: dict[tuple[int, str], list[bool]] = {}
    for part in parts:
        for row in pq.read_table(part, columns=["rollout", "row_id", "correct"]).to_pylist():
            graded = visits.setdefault((row["rollout"], row["row_id"]), [])
            graded += [] if row["correct"] is None else [row["correct"]]
    known = {row_id for _, row_id in visits}
    history: dict[str, list[float]] = {}
    for (_, row_id), graded in visits.items():
        first = COPY.sub("", row_id)  # a row's first visit has its bare id; "q#1" alone is an id of its own
        if graded:
            history.setdefault(first if first in known else row_id, []).append(sum(graded) / len(graded))
    if not history:
        raise UserError(f"{cell_dir}: none of its completions could be graded; write --run with another cell")
    return history


def choose(ranking: Sequence[Ranked], *, ranks: Sequence[int], ids: Sequence[str]) -> list[Ranked]:
    """The examples at these ranks (from 1) and with these ids, in that order. UserError: one that does not exist, with
    the nearest; one that is named twice."""
    by_id = {one.id: one for one in ranking}
    for number in ranks:
        if not 1 <= number <= len(ranking):
            near = min(max(number, 1), len(ranking))
            raise UserError(f"--ranks {number}: there are {len(ranking)} examples; the nearest is {near}")
    for name in ids:
        if name not in by_id:
            near = ", ".join(get_close_matches(name, by_id, n=3, cutoff=0.0))
            raise UserError(f"--ids {name}: no such example among {len(ranking)}; the nearest are {near}")
    chosen = [ranking[number - 1] for number in ranks] + [by_id[name] for name in ids]
    names = [one.id for one in chosen]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"example {name!r} (rank {by_id[name].rank}) is named twice; write it once")
    return chosen


def override(chosen: Sequence[Ranked]) -> str:
    """The lines that train on these alone, for a shell: data.ids=[a,b] data.repeat=true."""
    ids = (one.id if PLAIN.fullmatch(one.id) else "'" + one.id.replace("'", "\\'") + "'" for one in chosen)
    return f"{shlex.quote('data.ids=[' + ','.join(ids) + ']')} data.repeat=true"


def _data_of(cell_dir: Path) -> str:
    """The data that a run was made with, as override lines: the choice, and what its command said of it besides."""
    document = json.loads((cell_dir / "cell.json").read_text())
    choice = document.get("cell", {}).get("choices", {}).get("data")
    said = [line.lstrip("+") for line in document.get("overrides", []) if line.lstrip("+").startswith("data.")]
    lines = [line for line in said if line.partition("=")[0] not in REPLACED]
    return "".join(f"{shlex.quote(line)} " for line in [*([f"data={choice}"] if choice else []), *lines])


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--ranks {text}: not whole numbers; write --ranks 1,13") from None


def _table(rows: Sequence[Ranked]) -> None:
    width = max(len("id"), *(len(one.id) for one in rows))
    print(f"{'rank':>6}  {'id':<{width}}  {'variance':>8}  {'std':>7}  {'mean':>6}  {'times':>5}")
    for one in rows:
        numbers = f"{one.variance:>8.5f}  {one.variance**0.5:>7.5f}  {one.mean:>6.3f}  {one.count:>5}"
        print(f"{one.rank:>6}  {one.id:<{width}}  {numbers}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m rlvr_sweep one-shot", description="Examples by variance of their accuracy.")
    parser.add_argument("history", nargs="?", type=Path, metavar="ACC.json", help="id -> accuracies over training")
    parser.add_argument("--run", metavar="CELL", help="one of our own runs instead: a path, an id, a part of a name")
    parser.add_argument("--ranks", default="", metavar="1,13", help="the ones to train on, by rank")
    parser.add_argument("--ids", default="", metavar="ID,ID", help="the ones to train on, by id")
    parser.add_argument("--top", type=positive, default=10, metavar="N", help="how many of the ranking to show (10)")
    parser.add_argument("--json", action="store_true", help="the whole ranking as JSON lines, and nothing else")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (runs)")
    return parser


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if (args.history is None) == (args.run is None):
        raise UserError("one-shot: needs one history; write one-shot ACC.json, or one-shot --run CELL")
    data = ""
    if args.run is not None:
        from rlvr_sweep.find import find

        cell_dir = find(args.run, args.runs)
        history, data = run_history(cell_dir), _data_of(cell_dir)
    else:
        history = read_history(args.history)
    ranking = rank(history)
    chosen = choose(
        ranking, ranks=_numbers(args.ranks) if args.ranks else [], ids=args.ids.split(",") if args.ids else []
    )
    if args.json:
        for one in ranking:
            print(json.dumps(vars(one)))
        return 0
    shown = [one for one in ranking if one.rank <= args.top or one in chosen]
    _table(shown or ranking[:1])
    if once := sum(one.count == 1 for one in ranking):
        print(f"{once} of {len(ranking)} examples were visited once, so their variance is 0; a longer run tells more")
    print(f"\ntrain on {'these' if chosen else 'the first'}:  {data}{override(chosen or ranking[:1])}")
    return 0
