"""How far training moved a model, and what was left of it: the table that lab/clipping_control is read in.

    python -m rlvr_sweep displacement SWEEP            # or cells, or a folder of them; --json

Displacement is the Euclidean distance of a cell's final weights from those it began with. Arms that differ in how far
they move (a clipped and an unclipped one at the same learning rate) are to be compared where they have moved as far:
below the table each unclipped arm stands against the clipped one nearest to it, differences with standard errors.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.config.content import model_folder
from rlvr_sweep.errors import UserError
from rlvr_sweep.parser import Parser
from rlvr_sweep.report.record import Record

COLUMNS = ("displacement", "clip_fraction", "accuracy", "code_frequency", "accuracy_with_code")


def displacement(first: Path, last: Path) -> float:
    """The Euclidean distance between the weights of two Hugging Face folders (safetensors, the same tensors)."""
    began, ended = _tensors(first), _tensors(last)
    if missing := sorted(began.keys() ^ ended.keys()):
        raise UserError(f"{last}: not the same tensors as {first} ({missing[0]}); write a cell of that model")
    return math.sqrt(sum(float(((ended[k].float() - began[k].float()) ** 2).sum()) for k in began))


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: holds no weights (*.safetensors); write a cell made with compute.keep_model=true")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def facts(path: Path, *, benchmark: str | None = None) -> dict[str, Any]:
    """One finished cell: its arm, COLUMNS after training, and the same before it. Shares are of the completions that
    could be graded; None where there are none. UserError: not done, or a model that is no local folder."""
    record = Record(path)
    first = record.cell["model"].get("path")
    if not record.is_done:
        raise UserError(f"{path.name}: {record.state}, and only a finished cell has moved its whole way; run it first")
    if first is None:
        raise UserError(f"{path.name}: its first weights are on the Hub; write a cell of a local folder or a lab model")
    name = benchmark or next(iter(record.benchmarks()), None)
    if name is None or name not in record.benchmarks():
        raise UserError(f"{path.name}: has no evaluation {name or ''}; write --benchmark {record.benchmarks()}")
    steps = record.eval_steps(name)
    both = [(row.get("clip_ratio/low"), row.get("clip_ratio/high")) for row in record.metrics]
    clipped = [low + high for low, high in both if low is not None and high is not None]
    clip, algo = record.cell["clip"]["name"], record.cell["algo"]
    return {
        "cell_id": record.cell_id,
        "arm_id": record.arm_id,
        "model": record.cell["model"]["name"],
        "clip": clip,
        "learning_rate": algo["learning_rate"],
        "seed": record.seed,
        "updates": len(record.metrics),
        "displacement": displacement(model_folder(first), path / "model"),
        "clip_fraction": sum(clipped) / len(clipped) if clipped else None,
        **_shares(record.eval_rows(name, steps[-1])),
        "before": _shares(record.eval_rows(name, steps[0])),
    }


def _shares(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    with_code = [row["correct"] for row in rows if row["has_code"]]
    return {
        "accuracy": _mean([row["correct"] for row in rows]),
        "code_frequency": _mean([row["has_code"] for row in rows]),
        "accuracy_with_code": _mean(with_code),
    }


def _mean(values: Sequence[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def by_arm(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row an arm, in the order of displacement: of each of COLUMNS mean and standard deviation over seeds."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        arms.setdefault(cell["arm_id"], []).append(cell)
    rows = []
    for members in arms.values():
        found = {key: members[0][key] for key in ("arm_id", "model", "clip", "learning_rate", "updates")}
        for key in COLUMNS:
            known = [member[key] for member in members if member[key] is not None]
            mean = _mean(known)
            spread = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1)) if len(known) > 1 else None
            found[key] = {"mean": mean, "spread": spread}
        rows.append(found | {"seeds": len(members)})
    return sorted(rows, key=lambda row: (row["model"], row["displacement"]["mean"]))


def matched(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each arm that never clips the clipped arm of the same model that moved most nearly as far, and off minus on:
    the difference of means in `displacement` and in what is left, each with its standard error over seeds (Welch's;
    None where an arm has one seed)."""
    found = []
    for off in (row for row in rows if row["clip"] != "on"):
        on = [row for row in rows if row["clip"] == "on" and row["model"] == off["model"]]
        if not on:
            continue
        nearest = min(on, key=lambda row: abs(row["displacement"]["mean"] - off["displacement"]["mean"]))
        keys = [key for key in COLUMNS if key != "clip_fraction"]
        found.append({"off": off, "on": nearest, **{key: _difference(off, nearest, key) for key in keys}})
    return found


def _difference(off: dict[str, Any], on: dict[str, Any], key: str) -> dict[str, float | None]:
    sides = [(arm[key]["mean"], arm[key]["spread"], arm["seeds"]) for arm in (off, on)]
    means = [mean for mean, _, _ in sides if mean is not None]
    squares = [spread**2 / seeds for _, spread, seeds in sides if spread is not None]
    return {
        "mean": means[0] - means[1] if len(means) == 2 else None,
        "spread": math.sqrt(sum(squares)) if len(squares) == 2 else None,
    }


def _print(rows: Sequence[dict[str, Any]], cells: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="by displacement: mean +- spread over seeds", box=None, header_style="bold", title_justify="left"
    )
    for name in ("model", "clip", "rate", "updates", "seeds", "displaced", "clipped %", "accuracy", "code", "in code"):
        table.add_column(name, justify="left" if name in ("model", "clip") else "right")
    for row in rows:
        scale = {"displacement": (1, 3), "clip_fraction": (100, 3)}
        shown = [_shown(row[key], *scale.get(key, (100, 1))) for key in COLUMNS]
        table.add_row(
            row["model"], row["clip"], f"{row['learning_rate']:g}", str(row["updates"]), str(row["seeds"]), *shown
        )
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    for pair in matched(rows):
        off, on = (f"{pair[of]['clip']} at {pair[of]['learning_rate']:g}" for of in ("off", "on"))
        moved = _shown(pair["displacement"], 1, 3)
        left = [f"{key.replace('_', ' ')} {_shown(pair[key], 100, 1)}" for key in COLUMNS[2:]]
        console.print(f"{off} less {on}: {', '.join(left)} (displacement {moved})", soft_wrap=True)
    before = {key: _mean([cell["before"][key] for cell in cells]) for key in COLUMNS[2:]}
    said = ", ".join(f"{key.replace('_', ' ')} {100 * value:.1f}" for key, value in before.items() if value is not None)
    console.print(f"before training: {said}")


def _shown(value: dict[str, float | None], scale: float, digits: int) -> str:
    if value["mean"] is None:
        return "-"
    spread = "" if value["spread"] is None else f" +- {scale * value['spread']:.{digits}f}"
    return f"{scale * value['mean']:.{digits}f}{spread}"


def main(argv: list[str]) -> int:
    parser = Parser(prog="python -m rlvr_sweep displacement", description="How far training moved models, by arm.")
    parser.add_argument("cells", nargs="+", metavar="CELL", help="cells, a sweep, or a folder of cells")
    parser.add_argument("--benchmark", metavar="NAME", help="default: a cell's first")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where cells lie (runs)")
    parser.add_argument("--json", action="store_true", help="one JSON line a cell")
    args = parser.parse_args(argv)
    from rlvr_sweep.find import find_all

    paths, _ = find_all(args.cells, args.runs)
    found = [facts(path, benchmark=args.benchmark) for path in paths if Record(path).is_done]
    if not found:
        raise UserError(f"{' '.join(args.cells)}: none of these cells is done; run them first")
    if left := len(paths) - len(found):
        print(f"{left} of {len(paths)} cells are not done, and left out", file=sys.stderr)
    if args.json:
        for cell in found:
            print(json.dumps(cell))
    else:
        _print(by_arm(found), found)
    return 0
