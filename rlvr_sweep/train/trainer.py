"""A thin subclass of TRL's GRPOTrainer: our prompts, our rollout backend, our scorer, our record, and an exact resume.

What TRL keeps: batching, group advantages, the clipped loss, the fused LM head, the optimizer loop, PEFT.
What is added, and why TRL alone will not do, is in the comments. The private hooks used are pinned by
tests/train/test_trl_contract.py; TRL itself is pinned exactly.
"""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from rlvr_sweep.config.rules import arm, epsilons, loss_batch
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.draws import draw
from rlvr_sweep.train import checkpoints
from rlvr_sweep.train.advantages import advantages, certainty
from rlvr_sweep.train.generation import Backend, HuggingFace
from rlvr_sweep.train.losses import entropy_term, with_arm
from rlvr_sweep.train.metrics import mean, rollout_metrics, rollout_rows
from rlvr_sweep.train.mismatch import mismatch
from rlvr_sweep.train.passes import obstacle, token_log_probs
from rlvr_sweep.train.progress import Clock
from rlvr_sweep.train.recorder import Recorder
from rlvr_sweep.train.rollouts import Group, Member, Rollouts
from rlvr_sweep.train.scoring import Scorer
from rlvr_sweep.train.stepstats import StepStats
from rlvr_sweep.train.vllm_engine import colocated, compute_in
from rlvr_sweep.train.vllm_server import served

AT_ONCE = 4  # micro-batches in a pass that no gradient follows: it keeps one layer's activations, not all
BACKENDS = {"hf": HuggingFace.of, "vllm": colocated, "vllm_server": served}
LOGGED = {  # TRL's name -> ours, per optimizer step
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
}


@dataclass(frozen=True)
class Passed:
    """What a pass found for one batch of the loss, in the place of the model: (B, T) each, with their graph."""

    logps: torch.Tensor
    entropies: torch.Tensor


def in_rows(inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask) of prompts and completions, as TRL joins them."""
    ids, mask = (torch.cat([inputs[f"prompt_{of}"], inputs[f"completion_{of}"]], dim=1) for of in ("ids", "mask"))
    return ids, mask


class RLVRTrainer(GRPOTrainer):
    """GRPO over a `train_dataset` in the order of data/order.py.

    Its rows have prompt, prompt_ids, row_id, gold, label and columns. `kept`: see shapes/memory.py's kept_tokens.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        scorer: Scorer,
        recorder: Recorder | None,
        mirror: Any,
        clock: Clock,
        kept: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.cell, self.batch, self._kept = cell, arm(cell), kept
        self.recorder, self.mirror, self.clock = recorder, mirror, clock
        self._members: list[Member] = []  # this rank's completions of the rollout being made
        self._entropies: Any = None  # (B, T) of the loss pass under way
        self._rollout: dict[str, Any] = {}  # metrics of the current rollout, repeated in each of its steps' rows
        self._clips: list[dict[str, float | None]] = []  # clip fractions of the current rollout's steps so far
        self._seconds: dict[str, float] = {}
        self._retries = 0
        self._is_told = False  # that no completion of a rollout holds an answer
        low, high = epsilons(cell)
        self.stats = StepStats(low=low, high=high, dual=cell.clip.dual, has_reference=cell.estimator.kl > 0)
        if cell.compute.backend == "vllm":
            compute_in(cell.model.dtype)
        super().__init__(reward_funcs=self._reward, **kwargs)
        whole: Any = self.model
        self._padded = obstacle(whole.get_base_model() if hasattr(whole, "peft_config") else whole)
        if self._padded and self.accelerator.is_main_process:
            print(f"rlvr_sweep: {cell.model.name} has {self._padded}: its passes are padded, and slow", file=sys.stderr)
        # TRL reads a rollout's rows again for each of its micro-batches: from a Dataset that takes seconds a rollout.
        self.train_dataset: Any = self.train_dataset.to_list()
        self.backend: Backend = BACKENDS[cell.compute.backend](self)
        self.rollouts = Rollouts(cell, scorer, self)

    # -- the rollout ------------------------------------------------------------------------------------------------

    @property
    def rollout_number(self) -> int:
        """1-based number of the rollout that the current optimizer step trains on."""
        return self.state.global_step // self.batch.updates + 1

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        rank, number = self.accelerator.process_index, self.rollout_number
        began = time.perf_counter()
        groups, self._members = self.rollouts.collect(inputs[:: self.batch.completions], number=number)
        # The mini-batches of a rollout are shuffled by the global generator: its state must not depend on the past.
        torch.manual_seed(draw(self.cell.seed, "shuffle", number, rank))
        output = super()._generate_and_score_completions([member.row for member in self._members])
        mine = torch.stack([self._rewards(output), self._positions(), output["completion_mask"].sum(1).float()], dim=1)
        table: Any = self.accelerator.gather(mine)
        rewards, positions, tokens = table.unbind(1)
        found = advantages(self.cell.estimator, rewards=rewards, groups=positions, tokens=tokens)
        output["advantages"] = found[rank * len(self._members) :][: len(self._members)]
        self._seconds = self.rollouts.seconds | {"prepare": time.perf_counter() - began}
        self._record_rollout(number, groups, torch.stack([positions, rewards, found], 1).tolist())
        self._rollout |= mismatch(self.accelerator, output)
        if self.batch.updates == 1:  # the ratio is 1, not what two passes in bfloat16 make of it
            output.pop("old_per_token_logps", None)
        return output

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict]:
        # Prompts arrive as token ids, with BOS exactly once; TRL would tokenize the text again, and add a second one.
        return [member.row["prompt_ids"] for member in self._members], None, {}

    def _generate_single_turn(self, prompt_ids: list, *args: Any, **kwargs: Any) -> tuple[list[list[int]], list | None]:
        samples = [member.sample for member in self._members]
        logprobs = [sample.logprobs for sample in samples] if self.vllm_importance_sampling_correction else None
        return [sample.ids for sample in samples], logprobs

    def _reward(self, completions: list[str], **columns: Any) -> list[float | None]:
        return [member.scored.reward for member in self._members]

    def _rewards(self, output: dict[str, Any]) -> torch.Tensor:
        """(B,) what advantages are made of, NaN where it is not known."""
        if self.cell.estimator.advantage != "entropy_min":
            known = [math.nan if m.scored.reward is None else m.scored.reward for m in self._members]
            return torch.tensor(known, device=self.accelerator.device)
        logps, mask = output.get("old_per_token_logps"), output["completion_mask"]
        if logps is None:  # TRL leaves them out where a rollout has one update
            with torch.no_grad():
                size = self.batch.micro_batch
                logps = self._get_per_token_logps_and_entropies(self.model, *in_rows(output), mask.shape[1], size)[0]
        return certainty(logps, mask)

    def _positions(self) -> torch.Tensor:
        return torch.tensor([float(m.group) for m in self._members], device=self.accelerator.device)

    def _record_rollout(self, number: int, groups: list[Group], trained: list[list[float]]) -> None:
        self._clips = []
        if self.recorder is not None:
            is_replaced = self.cell.estimator.advantage == "entropy_min"
            numbers = {"rollout": number, "step": self.state.global_step + 1, "per_group": self.batch.completions}
            rows = rollout_rows(groups, trained, is_replaced=is_replaced, **numbers)
            self._rollout = rollout_metrics(rows, is_graded=not is_replaced)
            self.recorder.rollout(number, rows)
            if not self._is_told and not any(row["answer"] for row in rows):
                self._is_told = True
                print(
                    f"rlvr_sweep: rollout {number}: none of {len(rows)} completions holds an answer (algo.extraction="
                    f"{self.cell.algo.extraction}), so that no vote and no grader has anything to go by; write another "
                    "algo.extraction or model.template, or a larger algo.max_completion_tokens",
                    file=sys.stderr,
                )

    # -- the update -------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs: Any,
    ) -> Any:
        if isinstance(model, Passed):
            return self._of_loss(model.logps, model.entropies)
        # The pass of the loss asks for entropies; the others are those of the old and the reference log-probs. As many
        # passes on every rank: under ZeRO-3 each of them is a collective.
        size = batch_size or len(input_ids)
        if self._padded:
            found = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, size, compute_entropy, **kwargs
            )
            logps, entropies = found[:2]
        else:
            at_once, kept = (size, self._kept) if compute_entropy else (size * AT_ONCE, None)
            passes = []
            for ids, mask in zip(input_ids.split(at_once), attention_mask.split(at_once), strict=True):
                with self.accelerator.autocast():
                    passes.append(token_log_probs(model, ids, mask, keep=logits_to_keep, kept=kept))
            logps = torch.cat([each[0] for each in passes])
            entropies = torch.cat([each[1] for each in passes]) if compute_entropy else None
        return (logps, None, None) if entropies is None else self._of_loss(logps, entropies)

    def _of_loss(self, logps: torch.Tensor, entropies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """As TRL's pass returns them; the step's numbers and the entropy bonus are made of them too."""
        self._entropies = entropies
        self.stats.logps, self.stats.entropies = logps.detach(), entropies.detach()
        return logps, entropies, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """The loss of a pass; where it is a mean over smaller batches, the mean of theirs: TRL sees each by itself."""
        rows = len(inputs["completion_mask"])
        batches = rows // (loss_batch(self.cell) or rows)
        if batches == 1:
            return self._batch_loss(model, inputs)
        keep = inputs["completion_mask"].shape[1]
        found = self._get_per_token_logps_and_entropies(model, *in_rows(inputs), keep, compute_entropy=True)
        passed = [Passed(*each) for each in zip(found[0].chunk(batches), found[1].chunk(batches), strict=True)]
        losses = [self._batch_loss(*each) for each in zip(passed, split_tensor_dict(inputs, batches), strict=True)]
        return torch.stack(losses).mean()

    def _batch_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = super()._compute_loss(model, with_arm(self.cell.clip.name, inputs))
        mask = inputs["completion_mask"]
        old, reference = inputs.get("old_per_token_logps"), inputs.get("ref_per_token_logps")
        self.stats.add(old=old, reference=reference, mask=mask, advantages=inputs["advantages"])
        entropies, self._entropies = self._entropies, None  # with their graph: they must not outlive the step
        if bonus := self.cell.estimator.entropy_bonus:
            loss = loss - bonus * entropy_term(entropies, mask, **self._update_size(inputs["num_items_in_batch"]))
        return loss

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """All of them: the papers that decay weights hand AdamW every parameter, as verl does; transformers leaves out
        biases and norms."""
        if not self.args.weight_decay:  # the same updates, and checkpoints of before have these groups
            return super().get_decay_parameter_names(model)
        return [name for name, _ in model.named_parameters()]

    def _update_size(self, tokens: torch.Tensor) -> dict[str, Any]:
        """What a mean over an update divides by, given the rollout's trained tokens: see entropy_term."""
        share = None if self.cell.estimator.loss == "micro_batch" else tokens / self.batch.ranks / self.batch.updates
        return {"tokens": share, "parts": self.batch.gradient_accumulation_steps}

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
        self._clips.append({key: update[key] for key in ("clip_ratio/low", "clip_ratio/high")})
        if step % self.batch.updates == 0:
            for key in ("clip_ratio/low", "clip_ratio/high"):
                update[f"{key}/rollout_mean"] = mean(clips[key] for clips in self._clips)
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
            "seconds/sync": spent.get("sync", 0.0),  # of these, to push the weights into vLLM and to wake it
            "seconds/score": score,
            "seconds/old_logprobs": max(0.0, prepare - generate - score),
            "seconds/update": max(0.0, seconds - prepare),
            "seconds/step": seconds,
            "tokens_per_second": (self._rollout.get("tokens") or 0.0) / generate if generate else None,
            "alloc_retries": self._alloc_retries(),
        }

    def _alloc_retries(self) -> int | None:
        """How often in this step, on this rank, torch found no room on the GPU before it gave back all it had kept:
        each time waits for the GPU, and many say that the memory is too tight. None on cores."""
        device = self.accelerator.device
        if device.type != "cuda":
            return None
        before, self._retries = self._retries, torch.cuda.memory_stats(device)["num_alloc_retries"]
        return self._retries - before

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: the record says more than a card would."""

    def _buffer_file(self, checkpoint: str | Path) -> Path:
        return Path(checkpoint) / f"rollout-rank{self.accelerator.process_index}.pt"

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # In a checkpoint DeepSpeed's own files have the weights, and nothing else is read of them.
        if not (_internal_call and self.is_deepspeed_enabled):
            super().save_model(output_dir, _internal_call)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        # TRL forgets the rollout it is in the middle of: a resume would sample another one, with newer weights.
        in_the_middle = self.state.global_step % self.batch.updates != 0
        torch.save(
            {
                "buffered": self._buffered_inputs if in_the_middle else None,
                "rollout": self._rollout,
                "clips": self._clips,
                "consumed": self.rollouts.consumed,
            },
            self._buffer_file(checkpoint),
        )
        self.accelerator.wait_for_everyone()
        if self.recorder is not None:
            self.recorder.sync()
            checkpoints.complete(checkpoint, ranks=self.accelerator.num_processes)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)  # runs last in a resume, after the data is skipped
        if checkpoint is None:
            return
        device = self.accelerator.device
        # Over several nodes it is called cpu:0, which torch cannot load.
        place = "cpu" if device.type == "cpu" else device
        saved = torch.load(self._buffer_file(checkpoint), map_location=place, weights_only=False)
        # TRL counts micro-batches, which may be others by now: smaller ones, where a GPU's memory was used up.
        self._step = self.state.global_step * self.batch.gradient_accumulation_steps
        self._buffered_inputs = self._cut(saved["buffered"])
        self._rollout, self._clips = saved["rollout"], saved["clips"]
        self.rollouts.consumed = saved.get("consumed", 0)

    def _cut(self, rollout: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        """The micro-batches of a rollout, cut as this run cuts them; the rows stay in their order."""
        if rollout is None or len(rollout) == self.batch.steps_per_generation:
            return rollout
        whole = {
            key: torch.cat([part[key] for part in rollout]) if isinstance(each, torch.Tensor) and each.ndim else each
            for key, each in rollout[0].items()
        }
        return split_tensor_dict(whole, self.batch.steps_per_generation)
