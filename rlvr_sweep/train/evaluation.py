"""When a cell is evaluated: before, every N rollouts, and after.

An evaluation comes before the checkpoint of the same step, unless the cell was asked to stop: then the checkpoint comes
first, and the evaluation is made up for at the next start, from the same weights and the same draws.
"""

import time
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object
from transformers import TrainerCallback

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.evals.rows import is_sound, path, write
from rlvr_sweep.evals.sampling import Ranks, Task, at_once, evaluate
from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.train.generation import Sampling
from rlvr_sweep.train.metrics import mean
from rlvr_sweep.train.stopping import LONGER, Stopping


class Evaluation(TrainerCallback):
    """Samples and grades all benchmarks; rank 0 writes the rows."""

    def __init__(
        self, cell: Cell, cell_id: str, cell_dir: Path, *, tasks: list[Task], grader: Grader, stopping: Stopping
    ) -> None:
        self.cell, self.cell_id, self.cell_dir = cell, cell_id, cell_dir
        self.tasks, self.grader, self.stopping = tasks, grader, stopping
        self.trainer: Any = None  # set once the trainer exists
        self.phases: Any = None
        self.took = 0.0  # seconds of the last one, at first of that of another attempt

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.is_owed(state.global_step):
            self.evaluate(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Who was asked to stop, or must soon, has no time for an evaluation: it is made up for at the next start.
        is_last = state.global_step >= state.max_steps
        then = 0.0 if is_last else self.stopping.another_step
        if self._is_due(state.global_step) and not self.stopping.stops_before(LONGER * self.took + then, control):
            self.evaluate(state.global_step)
            if not is_last:
                self.stopping.stops_before(then, control)

    def _is_due(self, step: int) -> bool:
        batch, every = self.trainer.batch, self.cell.eval.every
        if step == 0:
            return self.cell.eval.before
        period = every * batch.stretch * batch.updates
        return step == batch.optimizer_steps or bool(period and step % period == 0)

    def is_owed(self, step: int) -> bool:
        """Whether the evaluation of this step is due and not on disk, as the first rank sees it: on a disk of several
        nodes another may see it later, and ranks that differ would wait for each other. All must call it."""
        there = [all(is_sound(path(self.cell_dir, task.name, step)) for task in self.tasks)]
        return self._is_due(step) and not broadcast_object_list(there)[0]

    def evaluate(self, step: int) -> None:
        """All benchmarks at this optimizer step."""
        former, began = self.phases.enter("evaluate"), time.monotonic()
        self._evaluate(step)
        self.took = time.monotonic() - began
        self.phases.enter(former, evaluated_in=round(self.took, 1))

    def _evaluate(self, step: int) -> None:
        accelerator = self.trainer.accelerator
        ranks = Ranks(accelerator.process_index, accelerator.num_processes, gather_object)
        size = at_once(self.cell)
        if self.cell.compute.backend == "hf":
            # What it would cut once more is cut here, on all ranks alike: under ZeRO-3 every token waits for all, and a
            # rank with fewer rows would make fewer calls.
            size = min(size, self.cell.compute.generate_batch or size)
        for task in self.tasks:
            bench = task.benchmark
            sampling = Sampling(task.max_tokens, bench.temperature, bench.top_p)

            def generate(prompts: Any, *, seeds: Any, sampling: Sampling = sampling) -> list[tuple[list[int], bool]]:
                samples = self.trainer.backend.generate(prompts, sampling, seeds=seeds)
                return [(sample.ids, sample.truncated) for sample in samples]

            rows = evaluate(
                task,
                generate,
                self.grader,
                lambda ids: self.trainer.processing_class.batch_decode(ids, skip_special_tokens=True),
                cell_id=self.cell_id,
                step=step,
                seed=self.cell.seed,
                batch=size,
                ranks=ranks,
                by=self.cell.grading.grader,
            )
            if accelerator.is_main_process:
                write(path(self.cell_dir, task.name, step), rows)
                accuracy = {f"eval/{task.name}/accuracy": mean(row["correct"] for row in rows)}
                code = {f"eval/{task.name}/code_frequency": mean(row["has_code"] for row in rows)}
                self.trainer.mirror.log(step, accuracy | code)
                self.trainer.mirror.summary(accuracy | code)
