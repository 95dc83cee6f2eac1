"""What TRL's own `trl grpo` makes of a cell: GRPOTrainer with its defaults, on the cell's own prompts.

    python -m rlvr_sweep.bench.stock CELL_DIR OUT.json       # torchrun starts it as it starts the worker

The same model folder, batches, lengths, end tokens and ZeRO stage. What the user of `trl grpo` need not say is left to
TRL: micro-batches of 8, vLLM's share of the memory and its length, no sleep, importance-sampling correction on. The
reward is a coin, which costs nothing.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the worker's; before any import of torch
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import CellDir, write_atomically
from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.lifeline import dies_with_parent


def coin(completions: list[str], **columns: Any) -> list[float | None]:
    return [float(random.random() < 0.5) for _ in completions]


def arguments(cell: Cell, output: str, *, use_cpu: bool) -> Any:
    """GRPOConfig with what the cell says and TRL's defaults for the rest."""
    from trl.trainer.grpo_config import GRPOConfig

    from rlvr_sweep.train.deepspeed import config as deepspeed_config

    batch, algo = arm(cell), cell.algo
    update = batch.train_batch // batch.ranks
    size = 8 if update % 8 == 0 else batch.micro_batch  # TRL's default, where it divides
    return GRPOConfig(
        output_dir=output,
        use_cpu=use_cpu,
        bf16=cell.model.dtype == "bfloat16",
        deepspeed=deepspeed_config(cell),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=update // size,
        steps_per_generation=batch.rollout_size // batch.ranks // size,
        num_generations=batch.completions,
        max_steps=batch.optimizer_steps,
        max_completion_length=algo.max_completion_tokens,
        temperature=algo.temperature,
        learning_rate=algo.learning_rate,
        beta=cell.estimator.kl,  # a pass of the reference model, or none
        use_vllm=cell.compute.backend == "vllm",
        vllm_mode="colocate",
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        shuffle_dataset=False,  # the cell's order
        disable_tqdm=True,
    )


def prompts(cell: Cell) -> list[str]:
    """The text of each prompt in the order in which the cell sees them, special tokens as text."""
    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.train.model import facts, load_tokenizer
    from rlvr_sweep.train.problems import prepare

    tokenizer = load_tokenizer(cell)
    context = facts(cell, tokenizer)[1]
    with Grader.within(cell.grading) as grader:
        found = prepare(cell, tokenizer=tokenizer, context=context, grader=grader, batch=arm(cell))
    return [tokenizer.decode(visit["prompt_ids"], skip_special_tokens=False) for visit in found.visits]


def main(argv: list[str]) -> int:
    if "TORCHELASTIC_RUN_ID" in os.environ and (with_torchrun := dies_with_parent(signal.SIGKILL)):
        with_torchrun()  # as the worker's
    cell, out = CellDir(Path(argv[0])).cell, Path(argv[1])
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.grpo_trainer import GRPOTrainer

    from rlvr_sweep.train.environment import environment
    from rlvr_sweep.train.model import folder, lora

    ended: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ended.append(time.perf_counter())

    use_cpu = cell.compute.device == "cpu" or not torch.cuda.is_available()
    with tempfile.TemporaryDirectory(dir=out.parent) as output:
        trainer = GRPOTrainer(
            model=folder(cell),
            reward_funcs=coin,
            args=arguments(cell, output, use_cpu=use_cpu),
            train_dataset=Dataset.from_dict({"prompt": prompts(cell)}),
            peft_config=lora(cell),
            callbacks=[Watch()],
        )
        trainer.train()
    if trainer.accelerator.is_main_process:
        key = "completions/mean_length"  # in the line of the step that sampled
        lengths = [row[key] for row in trainer.state.log_history if key in row]
        found = {"steps_ended": ended, "completion_tokens": lengths}
        found |= {
            "environment": environment(cell, use_cpu=use_cpu, kept=0 if trainer.args.gradient_checkpointing else None)
        }
        write_atomically(out, json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as the worker: an engine's end takes longer than it is worth
