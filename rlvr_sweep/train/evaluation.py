"""When a cell is evaluated: before, every N rollouts, and after; always before the same step's checkpoint is written.

A resume therefore never owes an evaluation: what the checkpoint's step asked for is already on disk.
"""

from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.evals.rows import path, write
from rlvr_sweep.evals.sampling import Ranks, Task, evaluate
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.generation import Sampling
from rlvr_sweep.train.metrics import mean


class Evaluation(TrainerCallback):
    """Samples and grades all benchmarks; rank 0 writes the rows."""

    def __init__(self, cell: Cell, cell_id: str, cell_dir: Path, tasks: list[Task], grader: Grader) -> None:
        self.cell, self.cell_id, self.cell_dir, self.tasks, self.grader = cell, cell_id, cell_dir, tasks, grader
        self.trainer: Any = None  # set once the trainer exists
        self.phases: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0 and self.cell.eval.before:
            self.evaluate(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        updates, every = self.trainer.batch.updates, self.cell.eval.every
        rollout, inside = divmod(state.global_step, updates)
        due = not inside and every and rollout % every == 0
        if due or state.global_step == self.trainer.batch.optimizer_steps:
            self.evaluate(state.global_step)

    def evaluate(self, step: int) -> None:
        """All benchmarks at this optimizer step."""
        former = self.phases.enter("evaluate")
        self._evaluate(step)
        self.phases.enter(former)

    def _evaluate(self, step: int) -> None:
        accelerator = self.trainer.accelerator
        ranks = Ranks(accelerator.process_index, accelerator.num_processes, gather_object)
        for task in self.tasks:
            bench = task.benchmark
            sampling = Sampling(task.max_tokens, bench.temperature, bench.top_p)

            def generate(prompts: Any, *, seed: int, sampling: Sampling = sampling) -> list[tuple[list[int], bool]]:
                return [tuple(sample) for sample in self.trainer.backend.generate(prompts, sampling, seed=seed)]

            rows = evaluate(
                task,
                generate,
                self.grader,
                lambda ids: self.trainer.processing_class.batch_decode(ids, skip_special_tokens=True),
                cell_id=self.cell_id,
                step=step,
                seed=self.cell.seed,
                batch=self.cell.eval.batch,
                ranks=ranks,
            )
            if accelerator.is_main_process:
                write(path(self.cell_dir, task.name, step), rows)
                accuracy = {f"eval/{task.name}/accuracy": mean(row["correct"] for row in rows)}
                code = {f"eval/{task.name}/code_frequency": mean(row["has_code"] for row in rows)}
                self.trainer.mirror.log(step, accuracy | code)
                self.trainer.mirror.summary(accuracy | code)
