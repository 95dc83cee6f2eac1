"""Runs cells through the real worker and keeps what a reference needs to find each update's gradient again.

    python tests/train/probe.py DIR [DIR ...]        # or by torchrun; then DIR/probe-RANK.pt

One rollout a cell: its completions, how they were cut into micro-batches, and each update's weights and gradient.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import TrainerCallback

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train import trainer, worker

RANK = int(os.environ.get("RANK", "0"))


class Probe(trainer.RLVRTrainer):
    """The trainer, with a tag on every completion that survives the shuffle."""

    found: dict[str, Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        Probe.found = {"members": [], "updates": [], "metrics": []}
        self._cut: list[list[int]] = []

    def _parameters(self, pick: Any) -> dict[str, torch.Tensor]:
        model: Any = self.accelerator.unwrap_model(self.model)
        return {name: pick(parameter).detach().clone() for name, parameter in model.named_parameters()}

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        Probe.found["start"] = self._parameters(lambda parameter: parameter)
        for member, advantage in zip(self._members, output["advantages"].tolist(), strict=True):
            kept = {"group": member.group, "reward": member.scored.reward, "advantage": advantage}
            kept |= {"truncated": member.sample.truncated}
            Probe.found["members"].append(kept | {"prompt": member.row["prompt_ids"], "ids": member.sample.ids})
        output["tag"] = torch.arange(len(self._members))
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._cut.append(inputs["tag"].tolist())
        return super()._compute_loss(model, inputs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        Probe.found["metrics"].append(dict(logs))

    def keep(self) -> None:
        update = {"cut": self._cut, "weights": self._parameters(lambda parameter: parameter)}
        Probe.found["updates"].append(update | {"gradient": self._parameters(lambda parameter: parameter.grad)})
        self._cut = []


class Keep(TrainerCallback):
    """Between the backward pass and the optimizer."""

    probe: Probe

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.probe.keep()


class Kept(Probe):
    def __init__(self, **kwargs: Any) -> None:
        keep = Keep()
        super().__init__(**(kwargs | {"callbacks": [*kwargs["callbacks"], keep]}))
        keep.probe = self


def main(paths: list[str]) -> None:
    trainer.RLVRTrainer = Kept
    with Grader() as grader:  # one for all: its workers take a second to start
        Grader.within = lambda *args, **kwargs: nullcontext(grader)  # pyright: ignore[reportAttributeAccessIssue]
        for path in paths:
            directory = CellDir(Path(path))
            say = directory.status if RANK == 0 else lambda **changes: None
            worker.train(directory, say=say, is_main=RANK == 0, began=0.0)
            torch.save(Probe.found, directory.path / f"probe-{RANK}.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
