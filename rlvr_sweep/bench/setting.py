"""The cell that `bench` runs: the one asked for, with fewer rollouts, no evaluation, and data that is at hand.

    asked = one(["model=shape/qwen2_5_7b", "compute=zero2_x4"])
    found = prepare(asked, rollouts=3, mean_tokens=800, scratch=Path("runs/_bench/scratch-1"))
    found.whole, found.composed, found.notes

All that a rollout is made of stays: prompts, completions, updates, lengths, how the work is split.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr_sweep.config import content, rules
from rlvr_sweep.config.compose import Composed, compose
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.data import hub
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes.table import PREFIX, find_shape, name_in

WORDS = [
    "A",
    "train",
    "goes",
    "60",
    "miles",
    "in",
    "2",
    "hours",
    "and",
    "the",
    "sum",
    "of",
    "its",
    "digits",
    "equals",
    "twice",
    "the",
    "product",
    "of",
]


@dataclass(frozen=True)
class Setting:
    """`whole` as it was asked for, `composed` as it is run, and what a reader must know beside its numbers."""

    whole: Cell
    composed: Composed
    notes: list[str]


def one(lines: list[str], config_dir: Path | None = None) -> Composed:
    """The cell of these override lines. UserError with all that is wrong with it, and where they are several."""
    cells = compose(lines, multirun=True, config_dir=config_dir).or_refuse().cells
    if len(cells) != 1:
        raise UserError(f"bench: times one cell, these are {len(cells)}; write one value for each key")
    compute = cells[0].cell.compute
    if compute.nodes > 1:
        raise UserError(
            f"bench: times one machine, compute.nodes is {compute.nodes}; "
            f"write compute.nodes=1 compute.ranks={compute.ranks // compute.nodes}"
        )
    if compute.backend == "vllm_server":
        raise UserError("bench: times what a cell's own GPUs do, a vLLM server has others; write compute.backend=vllm")
    return cells[0]


def check_stock(cell: Cell) -> None:
    """UserError where TRL's stock trainer would make other rollouts than the cell."""
    unlike = {
        "estimator.dynamic_sampling": cell.estimator.dynamic_sampling,
        "algo.votes_per_prompt": rules.sampled_completions(cell) != rules.arm(cell).completions,
    }
    for key in (key for key, is_so in unlike.items() if is_so):
        raise UserError(
            f"bench: --stock: TRL's stock trainer knows no {key}, so that nothing is comparable; leave it out"
        )


def prepare(asked: Composed, *, rollouts: int, mean_tokens: int | None, scratch: Path) -> Setting:
    """The cell as it is run, below `scratch`. UserError where it cannot have that mean length."""
    whole = asked.cell
    batch = rules.arm(whole)
    notes = [f"weights are random: {name_in(whole.model.path)}"] if name_in(whole.model.path) else []
    document = whole.model_dump(mode="json")
    document["algo"]["rollouts"], document["clip"]["match"] = rollouts, "rollouts"  # so many, whatever the arm
    document["eval"] = {"name": "none", "before": False}
    document["tracking"]["mode"] = "off"
    document["compute"]["keep_model"] = False
    if whole.compute.checkpoint_every:  # one, at the end
        document["compute"]["checkpoint_every"] = rollouts
    else:
        notes.append("no checkpoint: compute.checkpoint_every=0")
    document["runs"] = str(scratch)
    if mean_tokens is not None:
        document["model"]["path"] = _ending(whole, mean_tokens)
        notes.append(
            f"completions end by chance, on average after {mean_tokens} tokens if nothing cut them at "
            f"{whole.algo.max_completion_tokens}"
        )
    elif name_in(whole.model.path) and not find_shape(str(name_in(whole.model.path))).mean_tokens:
        notes.append(f"every completion has {whole.algo.max_completion_tokens} tokens: random weights know no end")
    if whole.data.from_hub and not _is_here(whole):
        notes.append(f"problems made on the spot: {whole.data.hub} is not in the Hub's cache")
        document |= _without_data(whole, problems(scratch / "problems.jsonl", batch.prompts * rollouts))
    cell = Cell.model_validate(document)
    found = content.facts(cell)
    if wrong := [*rules.faults(cell), *found.faults]:
        raise UserError("\n".join(wrong))
    return Setting(whole, Composed(cell, asked.overrides, found.hashes, rules.arm(cell)), notes)


def _ending(cell: Cell, mean_tokens: int) -> str:
    shape = name_in(cell.model.path)
    if shape is None:
        raise UserError(
            "--mean-tokens: only random weights do not end by themselves; leave it out, or write model=shape/..."
        )
    most = find_shape(shape).vocab_size // 4
    if not 2 <= mean_tokens <= most:
        raise UserError(f"--mean-tokens {mean_tokens}: write a length between 2 and {most}, as in --mean-tokens 800")
    return f"{PREFIX}{shape.partition('@')[0]}@{mean_tokens}"


def _is_here(cell: Cell) -> bool:
    """Whether the cell's dataset can be read without a network."""
    try:
        hub.locate(cell.data, key="data")
    except UserError:
        return False
    return True


def _without_data(cell: Cell, path: Path) -> dict[str, Any]:
    """What stands for a dataset that is not here, and for a reward that goes by its labels."""
    made: dict[str, Any] = {"data": {"name": "bench", "kind": "file", "path": str(path), "repeat": True}}
    return made | ({"reward": {"name": "random"}} if cell.data.labels is not None else {})


def problems(path: Path, count: int) -> Path:
    """Sums in many words, so that prompts differ in length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": str(i), "prompt": f"{' '.join(WORDS[: i % 19])} What is {i}+{7 * i}?".strip(), "answer": str(8 * i)}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
