"""A thin subclass of TRL's GRPOTrainer: our prompts, our rollout backend, our scorer, our record, and an exact resume.

What TRL keeps: batching, group advantages, the clipped loss, the fused LM head, the optimizer loop, PEFT.
What is added, and why TRL alone will not do, is in the comments. The private hooks used are pinned by
tests/train/test_trl_contract.py; TRL itself is pinned exactly.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.trainer.grpo_trainer import GRPOTrainer

from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.draws import draw
from rlvr_sweep.rewards.types import Completion
from rlvr_sweep.train import checkpoints
from rlvr_sweep.train.generation import HuggingFace, Sample, Sampling
from rlvr_sweep.train.metrics import rollout_metrics, row
from rlvr_sweep.train.progress import Clock
from rlvr_sweep.train.recorder import Recorder
from rlvr_sweep.train.scoring import Prompt, Scored, Scorer, completion
from rlvr_sweep.train.stepstats import StepStats

LOGGED = {  # TRL's name -> ours, per optimizer step
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "kl": "kl",
    "clip_ratio/low_mean": "clip_ratio/low",
    "clip_ratio/high_mean": "clip_ratio/high",
    "clip_ratio/region_mean": "clip_ratio/region",
}


class RLVRTrainer(GRPOTrainer):
    """GRPO over a `train_dataset` in the order of data/order.py.

    Its rows have prompt, prompt_ids, row_id, gold, label and columns.
    """

    def __init__(
        self, *, cell: Cell, scorer: Scorer, recorder: Recorder | None, mirror: Any, clock: Clock, **kwargs: Any
    ) -> None:
        self.cell, self.batch = cell, arm(cell)
        self.scorer, self.recorder, self.mirror, self.clock = scorer, recorder, mirror, clock
        self.sampling = Sampling(cell.algo.max_completion_tokens, cell.algo.temperature)
        self._inputs: list[dict[str, Any]] = []  # the rows of the rollout being made
        self._samples: list[Sample] = []
        self._scored: list[Scored] = []
        self._rollout: dict[str, Any] = {}  # metrics of the current rollout, repeated in each of its steps' rows
        self._clips: list[dict[str, float]] = []  # clip fractions of the current rollout's steps so far
        self._seconds: dict[str, float] = {}
        self.stats = StepStats()
        super().__init__(reward_funcs=self._reward, **kwargs)
        self.backend = HuggingFace(self, stop=list(cell.model.stop), batch=cell.compute.generate_batch)

    # -- the rollout ------------------------------------------------------------------------------------------------

    @property
    def rollout_number(self) -> int:
        """1-based number of the rollout that the current optimizer step trains on."""
        return self.state.global_step // self.batch.updates + 1

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        rank, number = self.accelerator.process_index, self.rollout_number
        # The mini-batches of a rollout are shuffled by the global generator: its state must not depend on the past.
        torch.manual_seed(draw(self.cell.seed, "shuffle", number, rank))
        self._inputs, self._seconds = inputs, {}
        began = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        self._seconds["prepare"] = time.perf_counter() - began
        self._record_rollout(number, output["advantages"].tolist())
        return output

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict]:
        # Prompts arrive as token ids, with BOS exactly once; TRL would tokenize the text again, and add a second one.
        return [r["prompt_ids"] for r in self._inputs], None, {}

    def _generate_single_turn(self, prompt_ids: list, *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        began = time.perf_counter()
        number, size = self.rollout_number, self.batch.completions
        seeds = [draw(self.cell.seed, "rollout", number, r["row_id"], i % size) for i, r in enumerate(self._inputs)]
        self._samples = self.backend.generate(prompt_ids, self.sampling, seeds=seeds)
        self._seconds["generate"] = time.perf_counter() - began
        return [sample.ids for sample in self._samples], None

    def _reward(self, completions: list[str], **columns: Any) -> list[float | None]:
        began = time.perf_counter()
        size, how = self.batch.completions, self.cell.algo.extraction
        members = [
            completion(text, tokens=len(sample.ids), truncated=sample.truncated, how=how)
            for text, sample in zip(completions, self._samples, strict=True)
        ]
        groups: list[list[Completion]] = [members[i : i + size] for i in range(0, len(members), size)]
        prompts = [
            Prompt(r["row_id"], r["prompt"], r["gold"], r["label"], json.loads(r["columns"]))
            for r in self._inputs[::size]
        ]
        self._scored = self.scorer.score(prompts, groups, rollout=self.rollout_number)
        self._seconds["score"] = time.perf_counter() - began
        return [s.reward for s in self._scored]

    def _record_rollout(self, number: int, advantages: list[float]) -> None:
        step = self.state.global_step + 1
        local = [row(s, rollout=number, step=step, advantage=a) for s, a in zip(self._scored, advantages, strict=True)]
        rows = gather_object(local)
        self._clips = []
        if self.recorder is not None:
            self._rollout = rollout_metrics(rows)
            self.recorder.rollout(number, rows)

    # -- the update -------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        output = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if kwargs.get("compute_entropy"):  # the pass of the loss, not that of the old or reference log-probs
            self.stats.logps = output[0].detach()
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        self.stats.add(old=inputs.get("old_per_token_logps"), mask=inputs["completion_mask"])
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)  # adds TRL's metrics to `logs`
        if "loss" not in logs:  # the summary at the end of training
            return
        reduced = self.stats.reduce(self.accelerator)
        seconds = self.clock.seconds
        if self.recorder is None:
            return
        step = self.state.global_step
        numbers = {"step": step, "rollout": (step - 1) // self.batch.updates + 1}
        update = {ours: logs.get(theirs) for theirs, ours in LOGGED.items()} | reduced
        self._clips.append({key: update[key] or 0.0 for key in ("clip_ratio/low", "clip_ratio/high")})
        if step % self.batch.updates == 0:
            for key in ("clip_ratio/low", "clip_ratio/high"):
                update[f"{key}/rollout_mean"] = sum(c[key] for c in self._clips) / len(self._clips)
                update[f"{key}/last"] = self._clips[-1][key]
        self.recorder.step(numbers | self._rollout | update, numbers | self._timings(seconds))
        self.mirror.log(step, self._rollout | update | {"seconds/step": seconds})

    def _timings(self, seconds: float) -> dict[str, float | None]:
        """Seconds of this step by phase; generating and scoring belong to the step that starts a rollout."""
        spent, self._seconds = self._seconds, {}
        prepare = spent.get("prepare", 0.0)
        generate, score = spent.get("generate", 0.0), spent.get("score", 0.0)
        return {
            "seconds/generate": generate,
            "seconds/score": score,
            "seconds/old_logprobs": max(0.0, prepare - generate - score),
            "seconds/update": max(0.0, seconds - prepare),
            "seconds/step": seconds,
            "tokens_per_second": (self._rollout.get("tokens") or 0.0) / generate if generate else None,
        }

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: the record says more than a card would."""

    def _buffer_file(self, checkpoint: str | Path) -> Path:
        return Path(checkpoint) / f"rollout-rank{self.accelerator.process_index}.pt"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        # TRL forgets the rollout it is in the middle of: a resume would sample another one, with newer weights.
        in_the_middle = self.state.global_step % self.batch.updates != 0
        torch.save(
            {
                "step": self._step,
                "buffered": self._buffered_inputs if in_the_middle else None,
                "rollout": self._rollout,
                "clips": self._clips,
            },
            self._buffer_file(checkpoint),
        )
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            checkpoints.complete(checkpoint, ranks=self.accelerator.num_processes)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)  # runs last in a resume, after the data is skipped
        if checkpoint is None:
            return
        device = self.accelerator.device
        place = (
            "cpu" if device.type == "cpu" else device
        )  # over several nodes it is called cpu:0, which torch cannot load
        saved = torch.load(self._buffer_file(checkpoint), map_location=place, weights_only=False)
        self._step, self._buffered_inputs = saved["step"], saved["buffered"]
        self._rollout, self._clips = saved["rollout"], saved["clips"]
