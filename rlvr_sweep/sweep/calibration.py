"""What `bench` measured, as JSON files: `plan` goes by them where no cell like a new one has ever finished.

    found = read([launch_dir() / "calibration", Path("runs/_bench")])
    one = nearest(cell, found, unit="GPU")  # None: nothing is like it
    one.seconds(cell), one.basis(cell)      # of the whole cell, without its evaluations; and what is left out of that

A machine, a model of as many parameters and the same split of the work; lengths, batches and, for want of better, the
number of GPUs are scaled.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlvr_sweep.config.rules import arm, sampled_completions
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.config.tree import launch_dir
from rlvr_sweep.shapes.floor import by_chance, decode_bytes
from rlvr_sweep.shapes.memory import sizes_of
from rlvr_sweep.shapes.sizes import Unknown
from rlvr_sweep.sweep.packing import SMALL

FORMAT = 1
OWN = "_bench"  # under runs/: what was measured where there is no checkout to put it in
GENERATED: tuple[str, ...] = ("generate",)  # phases that grow with the tokens sampled,
SCORED: tuple[str, ...] = ("score", "rest")  # with the completions sampled,
TRAINED: tuple[str, ...] = ("old_logprobs", "update")  # and with the tokens trained on
# What a rollout's seconds also go by, of `manner`: told where it differs.
HOW = ("attention", "micro_batch", "gradient_checkpointing", "liger")
HOW += ("kl", "max_generation_batches", "rollout_correction", "nodes")
# Without these nothing can be scaled.
NEEDED = {"setting": ("ranks",), "work": ("sampled", "trained", "max_completion_tokens"), "cell": ("generate_batch",)}
OF_ENGINE: dict[str, tuple[str, ...]] = {"hf": ("generate_batch",), "vllm": ("vllm_memory", "vllm_sleep")}


def setting(cell: Cell) -> dict[str, Any]:
    """What must be equal, besides the parameters, for a measurement to say something of another cell; but for the
    number of ranks, which is scaled."""
    compute, lora = cell.compute, cell.model.lora
    same = {key: getattr(compute, key) for key in ("device", "ranks", "backend", "zero", "offload")}
    return {"dtype": cell.model.dtype, "lora_rank": None if lora is None else lora.rank} | same


def manner(cell: Cell) -> dict[str, Any]:
    """How a rollout is made, in words of the configuration; what few cells have is there only where they have it."""
    algo, compute, estimator = cell.algo, cell.compute, cell.estimator
    more: dict[str, Any] = {"kl": estimator.kl} if estimator.kl else {}
    if estimator.dynamic_sampling:
        more["max_generation_batches"] = estimator.max_generation_batches
    if estimator.rollout_correction != "none":
        more["rollout_correction"] = estimator.rollout_correction
    if compute.device == "cuda" and not compute.liger:
        more["liger"] = False
    if compute.nodes > 1:
        more["nodes"] = compute.nodes
    return {
        "prompts": arm(cell).prompts,
        "completions": sampled_completions(cell),
        "updates": arm(cell).updates,
        "max_prompt_tokens": algo.max_prompt_tokens,
        "max_completion_tokens": algo.max_completion_tokens,
        "compute": compute.name,
        "attention": cell.model.attention,
        **{key: getattr(compute, key) for key in ("micro_batch", *OF_ENGINE["hf"], "gradient_checkpointing")},
        **{key: getattr(compute, key) for key in OF_ENGINE["vllm"]},
        "checkpoint_every": compute.checkpoint_every * arm(cell).stretch,  # of the rollouts that this arm makes
        **more,
    }


def work(cell: Cell) -> dict[str, int]:
    """The sizes of a rollout that may differ."""
    batch = arm(cell)
    return {
        "sampled": batch.prompts * sampled_completions(cell),
        "trained": batch.rollout_size,
        "max_completion_tokens": cell.algo.max_completion_tokens,
    }


@dataclass(frozen=True)
class Calibration:
    """A file of `bench`. `seconds_by_phase` are of a mean rollout, with `mean_tokens` a completion."""

    name: str
    device: str
    count: int
    unit: Literal["GPU", "core"]
    parameters: int | None  # None: bench's own, of a model whose sizes are not known; like no other cell's
    setting: dict[str, Any]
    manner: dict[str, Any]
    work: dict[str, int]
    mean_tokens: float
    prompt_tokens: float
    seconds_by_phase: dict[str, float]
    checkpoint: float | None  # seconds of one
    startup: float

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Calibration":
        """Raises KeyError, TypeError or ValueError where the document is none."""
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
        machine, measured = document["machine"], document["measured"]
        return cls(
            name=document["name"],
            device=machine["device"],
            count=machine["count"],
            unit=machine["unit"],
            parameters=document["parameters"],
            setting=_with(document, "setting"),
            manner=_with(document, "cell"),
            work=_with(document, "work"),
            mean_tokens=measured["completion_tokens"],
            prompt_tokens=measured["prompt_tokens"],
            seconds_by_phase=measured["seconds"],
            checkpoint=measured["checkpoint"],
            startup=measured["startup"],
        )

    @property
    def a_pass(self) -> int:
        """Completions that a pass of a rank had, at most."""
        update = self.work["trained"] // (self.setting["ranks"] * (self.manner.get("updates") or 1))
        return min(self.manner.get("micro_batch") or update, update)

    def basis(self, cell: Cell) -> str:
        """As in: bench shape-qwen2_5_7b-zero2_x4-vllm-64x16-h200x4-46ce69 on 4 x NVIDIA H200, an estimate for
        completions of 853 tokens, without evaluations; and how this cell is not as what was measured."""
        unlike = "; ".join(self.unlike(cell))
        shares = cell.compute.share < 1 if cell.compute.share else (self.parameters or 0) <= SMALL
        return (
            f"bench {self.name} on {self.count} x {self.device}{f', measured with {unlike}' if unlike else ''}"
            f"{f', scaled to {self.units(cell):g}' if self.more(cell) != 1 else ''}, an "
            f"estimate for completions of {self.mean_tokens_of(cell):,.0f} tokens, without {self.lacks(cell)}"
            f"{', each alone on its GPU' if self.unit == 'GPU' and shares else ''}"
        )

    def unlike(self, cell: Cell) -> list[str]:
        """As in: vllm_sleep false (here true)."""
        here = manner(cell)
        keys = (*HOW, *OF_ENGINE.get(cell.compute.backend, ()))
        differ = [key for key in keys if self.manner.get(key) != here.get(key)]
        return [f"{key} {json.dumps(self.manner.get(key))} (here {json.dumps(here.get(key))})" for key in differ]

    def mean_tokens_of(self, cell: Cell) -> float:
        """Completions of a cell are taken to be as long as the measured ones, within its limit."""
        return min(self.mean_tokens, cell.algo.max_completion_tokens)

    def more(self, cell: Cell) -> float:
        """How many times as many ranks a cell has."""
        return cell.compute.ranks / self.setting["ranks"]

    def units(self, cell: Cell) -> float:
        """GPUs or cores that a cell takes."""
        return self.count * self.more(cell)

    def rollout_seconds(self, cell: Cell) -> float:
        """Of one rollout of a cell like it."""
        wanted, mean = work(cell), self.mean_tokens_of(cell)
        completions = wanted["sampled"] / self.work["sampled"] / self.more(cell)
        generated = completions * mean / self.mean_tokens
        # On a GPU sampling more at once costs little: each step reads all weights.
        if self.unit == "GPU" and self.parameters is not None:
            here = self._decode_bytes(cell, wanted, cell.compute.ranks, cell.compute.generate_batch, mean)
            generated = here / self._decode_bytes(
                cell, self.work, self.setting["ranks"], self.manner["generate_batch"], self.mean_tokens
            )
        whole = (self.prompt_tokens + mean) / (self.prompt_tokens + self.mean_tokens)
        scale: dict[str, float] = dict.fromkeys(GENERATED, generated)
        scale |= dict.fromkeys(SCORED, completions)
        scale |= dict.fromkeys(TRAINED, wanted["trained"] / self.work["trained"] / self.more(cell) * whole)
        return sum(seconds * scale.get(phase, 1.0) for phase, seconds in self.seconds_by_phase.items())

    def _decode_bytes(
        self, cell: Cell, work: Mapping[str, int], ranks: int, generate_batch: int | None, mean: float
    ) -> float:
        """What a rank reads to sample a rollout of that work with this cell's model: by calls of generate_batch, or by
        vLLM at once."""
        sizes, width = sizes_of(cell), 2 if cell.model.dtype == "bfloat16" else 4
        left, limit, read = work["sampled"] // ranks, work["max_completion_tokens"], 0.0
        batch = generate_batch if generate_batch and cell.compute.backend == "hf" else left
        while left > 0:
            lengths = by_chance(min(batch, left), prompt=self.prompt_tokens, mean=mean, limit=limit)
            read += decode_bytes(sizes, lengths, width=width)
            left -= batch
        return read

    def lacks(self, cell: Cell) -> str:
        """What of this cell was not measured, and is not in its seconds."""
        is_unknown = self.checkpoint is None and cell.compute.checkpoint_every
        return "evaluations and checkpoints" if is_unknown else "evaluations"

    def seconds(self, cell: Cell) -> float:
        """Of the whole cell with its start and its checkpoints, but for what it `lacks`."""
        batch, every = arm(cell), cell.compute.checkpoint_every
        checkpoints = batch.rollouts / (every * batch.stretch) if every else 0.0
        return self.startup + batch.rollouts * self.rollout_seconds(cell) + checkpoints * (self.checkpoint or 0.0)


def _with(document: Mapping[str, Any], part: str) -> dict[str, Any]:
    """A part of a file. KeyError where it lacks one of NEEDED."""
    found = dict(document[part])
    return {key: found[key] for key in NEEDED[part]} | found


def places(runs: Path) -> list[Path]:
    """Where calibrations lie: the shipped ones, and the user's own."""
    return [launch_dir() / "calibration", runs / OWN]


def read(folders: Iterable[Path]) -> list[Calibration]:
    """All in these folders; a file that is none, or another version's, is no basis."""
    found = []
    for file in (file for folder in folders for file in sorted(folder.glob("*.json"))):
        try:
            found.append(Calibration.of(json.loads(file.read_text())))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def nearest(cell: Cell, found: Sequence[Calibration], *, unit: str) -> Calibration | None:
    """Of the calibrations that are like this cell on a GPU or on cores (`unit`) the one whose rollouts are most like
    its own: twice the ranks are as far as twice the batch of a rank or twice the completions of a pass, then how they
    are made counts, whether both write checkpoints, and where completions are cut; None: there is none."""
    free = {"device": None, "ranks": None}  # auto is either
    wanted = setting(cell) | free
    like = [one for one in found if one.unit == unit and one.setting | free == wanted]
    if not like:
        return None
    try:
        parameters = sizes_of(cell).parameters
    except Unknown:
        return None
    like = [one for one in like if one.parameters == parameters]
    sampled, every, limit = work(cell)["sampled"], cell.compute.checkpoint_every, cell.algo.max_completion_tokens

    def distance(one: Calibration) -> tuple[float, float, int, bool, float]:
        ranks, batch = one.more(cell), sampled / one.work["sampled"] / one.more(cell)  # of a rank
        passes = one.a_pass / arm(cell).micro_batch
        size = round(sum(abs(math.log(times)) for times in (ranks, batch, passes)), 6)
        cut = abs(math.log(limit / one.work["max_completion_tokens"]))
        return size, abs(math.log(ranks)), len(one.unlike(cell)), (one.checkpoint is None) == bool(every), cut

    return min(like, key=distance, default=None)
