"""From a finished cell's record to what a rollout took: seconds by phase, tokens, shares of the peaks.

found = measure(directory, sizes=sizes_of(cell), device=device("NVIDIA H200"))
found.seconds["update"], found.mfu, found.roofline

The first rollout is left out: kernels are compiled and memory is had in it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.shapes.floor import Device, Length, decode_bytes, update_flops
from rlvr_sweep.shapes.sizes import Sizes

PHASES = ("generate", "sync", "score", "old_logprobs", "update", "rest")


@dataclass(frozen=True)
class Rollout:
    """One rollout: what was sampled, by generation batch and rank, and what of it is trained on as often as it is."""

    sampled: list[list[list[Length]]]
    trained: list[Length]


@dataclass(frozen=True)
class Measured:
    """Means over `rollouts` rollouts. `seconds` by phase, in wall time; `floor`: the least that generation and update
    take on `device`. Shares are None where nothing is known of the device. `alloc_retries`: of the first rank, as
    timings.jsonl counts them, in all of these rollouts; None on cores."""

    rollouts: int
    completions: int  # sampled a rollout
    tokens: float  # of these completions
    completion_tokens: float
    prompt_tokens: float
    truncated: float
    seconds: dict[str, float]
    checkpoint: float | None
    startup: float
    tokens_per_second: dict[str, float]
    mfu: float | None
    roofline: float | None
    floor: dict[str, float] | None
    alloc_retries: int | None

    @property
    def rollout_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def completions_per_hour(self) -> float:
        return 3600 * self.completions / self.rollout_seconds


def measure(directory: CellDir, *, sizes: Sizes | None, device: Device | None) -> Measured:
    """Of a cell that is done, with two rollouts or more. `sizes`: None where nothing is known of the model."""
    cell, batch = directory.cell, arm(directory.cell)
    times = _lines(directory.path / "timings.jsonl")
    metrics = _lines(directory.path / "metrics.jsonl")
    phases = json.loads((directory.path / "phases.json").read_text())
    numbers = range(2, batch.rollouts + 1)
    seconds = {phase: fmean(_sum(times, number, phase) for number in numbers) for phase in PHASES[:-1]}
    seconds["generate"] -= seconds["sync"]
    seconds["rest"] = max(0.0, _wall(directory.path, times, batch.rollouts))
    rollouts = [read_rollout(directory, number) for number in numbers]
    trained = fmean(sum(one.prompt + one.completion for one in each.trained) for each in rollouts)
    everything = [one for each in rollouts for batch in each.sampled for rank in batch for one in rank]
    tokens = sum(one.completion for one in everything) / len(rollouts)
    floor = _floor(cell, rollouts, sizes, device) if sizes and device else None
    retries = [row["alloc_retries"] for row in times if row["rollout"] > 1]
    return Measured(
        rollouts=len(numbers),
        completions=len(everything) // len(numbers),
        tokens=tokens,
        completion_tokens=fmean(one.completion for one in everything),
        prompt_tokens=fmean(one.prompt for one in everything),
        truncated=fmean(row["truncated_rate"] for row in metrics if row["rollout"] > 1),
        seconds=seconds,
        checkpoint=phases.get("checkpoint") if cell.compute.checkpoint_every else None,
        startup=sum(spent for phase, spent in phases.items() if phase not in ("train", "checkpoint")),
        tokens_per_second={"generate": tokens / seconds["generate"], "train": trained / seconds["update"]},
        mfu=floor["update"] / seconds["update"] if floor and cell.model.dtype == "bfloat16" else None,
        roofline=floor["generate"] / seconds["generate"] if floor else None,
        floor=floor,
        alloc_retries=None if None in retries else sum(retries),
    )


def _floor(cell: Cell, rollouts: list[Rollout], sizes: Sizes, device: Device) -> dict[str, float]:
    """Seconds of a rollout on GPUs that idle never: generation as fast as the slowest rank of each batch can read, one
    batch after the other, and the update."""
    lora, ranks = cell.model.lora, cell.compute.ranks
    adapters = sizes.lora_parameters(lora.rank, lora.targets) if lora else 0
    width = 2 if cell.model.dtype == "bfloat16" else 4
    read = [
        sum(max(decode_bytes(sizes, rank, width=width) for rank in batch) for batch in each.sampled)
        for each in rollouts
    ]
    flops = fmean(update_flops(sizes, each.trained, lora=adapters) for each in rollouts)
    return {"generate": fmean(read) / device.bandwidth, "update": flops / ranks / device.flops}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _sum(times: list[dict[str, Any]], number: int, phase: str) -> float:
    """Seconds of a phase over the steps of rollout `number`."""
    return sum(row[f"seconds/{phase}"] for row in times if row["rollout"] == number)


def _wall(path: Path, times: list[dict[str, Any]], last: int) -> float:
    """What of a rollout is in no step: wall seconds from the record of the first rollout to that of the last, which are
    written between generation and update, without what the steps in between say of themselves."""
    written = [(path / "rollouts" / f"part-{number:05d}.parquet").stat().st_mtime for number in (1, last)]
    updates = sum(_sum(times, number, "update") for number in range(1, last))
    before = sum(_sum(times, n, "step") - _sum(times, n, "update") for n in range(2, last + 1))
    return (written[1] - written[0] - updates - before) / (last - 1)


def read_rollout(directory: CellDir, number: int) -> Rollout:
    """The lengths of rollout `number`, from its record; prompts are tokenized again as they were."""
    import pyarrow.parquet as pq

    part = directory.path / "rollouts" / f"part-{number:05d}.parquet"
    columns = ["prompt", "tokens", "trained", "generation_batch"]
    rows = pq.read_table(part, columns=columns).to_pylist()
    ids = prompt_ids(directory.cell, [row["prompt"] for row in rows])
    lengths = [Length(len(ids[row["prompt"]]), row["tokens"]) for row in rows]
    ranks = directory.cell.compute.ranks
    sampled: list[list[list[Length]]] = []
    for batch in sorted({row["generation_batch"] for row in rows}):
        mine = [one for one, row in zip(lengths, rows, strict=True) if row["generation_batch"] == batch]
        size = len(mine) // ranks  # ranks hold equally many groups, and the record has them one rank after the other
        sampled.append([mine[start : start + size] for start in range(0, len(mine), size)])
    trained = [one for one, row in zip(lengths, rows, strict=True) for _ in range(row["trained"])]
    return Rollout(sampled, trained)


def prompt_ids(cell: Cell, questions: list[str]) -> dict[str, list[int]]:
    """The token ids of these questions' prompts, by question."""
    from rlvr_sweep.data.templates import render_all
    from rlvr_sweep.train.model import load_tokenizer

    found = list(dict.fromkeys(questions))
    model, tokenizer = cell.model, load_tokenizer(cell)
    ids = render_all(found, tokenizer=tokenizer, template=model.template, prefix=model.prefix)
    return dict(zip(found, ids, strict=True))
