"""The process that runs one cell. It knows no Hydra: it reads cell.json and writes the record beside it.

    python -m rlvr_sweep.train.worker runs/<slug>--<cell_id>
    torchrun --standalone --nproc_per_node 8 -m rlvr_sweep.train.worker runs/<slug>--<cell_id>

Exit code: 0 done, 1 failed (the reason is in status.json), 2 a user's mistake, 75 stopped in good order before the end.
"""

import os

# Before any import of torch: two torch processes with two threads each on two cores run 17 times slower than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import hashlib
import json
import platform
import shutil
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from rlvr_sweep import __version__
from rlvr_sweep.cell_dir import ATTEMPT, CellDir, write_atomically
from rlvr_sweep.config.rules import arm
from rlvr_sweep.errors import UserError

STOPPED = 75  # EX_TEMPFAIL: start it again and it goes on


def main(argv: list[str]) -> int:
    began = time.perf_counter()
    is_main = int(os.environ.get("RANK", "0")) == 0
    try:
        directory = CellDir(Path(argv[0]))
        with directory.lock() if is_main else nullcontext():
            return _attempt(directory, is_main=is_main, began=began)
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return 2


def _attempt(directory: CellDir, *, is_main: bool, began: float) -> int:
    """One attempt under the lock: train, and turn what happens into a status and an exit code."""
    number = int(os.environ.get(ATTEMPT) or directory.next_attempt())
    say = directory.status if is_main else _nothing
    say(state="running", attempt=number, pid=os.getpid(), started=time.time(), finished=None, reason=None)
    if is_main:
        write_atomically(directory.path / "attempts" / str(number) / "env.json", json.dumps(environment(), indent=1))
    try:
        finished = train(directory, say=say, is_main=is_main, began=began)
    except UserError as error:
        say(state="failed", finished=time.time(), reason=str(error))
        raise
    except Exception as error:  # the process boundary: the log holds the traceback, the status its last line
        traceback.print_exc()
        first = str(error).strip().splitlines()[:1]
        say(state="failed", finished=time.time(), reason=": ".join([type(error).__name__, *first]))
        return 1
    if not finished:
        say(state="preempted", finished=time.time(), reason="asked to stop; start it again and it goes on")
        return STOPPED
    return 0


def _nothing(**changes: Any) -> None:
    """Ranks other than 0 write no status."""


def environment() -> dict[str, Any]:
    """What this attempt ran on: versions, host, device. No secrets: no environment variables but the few named."""
    names = (
        "trl",
        "transformers",
        "torch",
        "peft",
        "accelerate",
        "math-verify",
        "antlr4-python3-runtime",
        "sympy",
        "wandb",
    )
    kept = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "SLURM_JOB_ID", "WORLD_SIZE")
    return {
        "rlvr_sweep": __version__,
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "versions": {name: installed(name) for name in names},
        "environment": {name: os.environ[name] for name in kept if name in os.environ},
    }


def installed(name: str) -> str | None:
    """The version of an installed distribution, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def train(directory: CellDir, *, say: Callable[..., None], is_main: bool, began: float) -> bool:
    """Run or resume the cell; False if it was stopped before its last step."""
    cell = directory.cell
    batch = arm(cell)
    phases = Phases(began, say)
    warnings.filterwarnings("ignore", category=FutureWarning)  # transformers repeats three of them in every generation
    phases.enter("import")
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback

    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.train import checkpoints
    from rlvr_sweep.train.arguments import arguments
    from rlvr_sweep.train.evaluation import Evaluation
    from rlvr_sweep.train.mirror import Mirror, NullMirror
    from rlvr_sweep.train.model import load, lora
    from rlvr_sweep.train.problems import prepare
    from rlvr_sweep.train.progress import Progress
    from rlvr_sweep.train.recorder import Recorder
    from rlvr_sweep.train.scoring import Scorer
    from rlvr_sweep.train.stopping import Stopping
    from rlvr_sweep.train.trainer import RLVRTrainer

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != cell.compute.ranks:  # the batches were planned for that many
        raise UserError(f"compute.ranks={cell.compute.ranks}, but {ranks} were started; write compute.ranks={ranks}")
    use_cpu = cell.compute.device == "cpu" or not torch.cuda.is_available()
    if cell.compute.device == "cuda" and use_cpu:
        raise UserError(
            "compute.device=cuda: torch sees no GPU here; write compute.device=cpu, or see `rlvr-sweep doctor`"
        )
    if use_cpu:
        # Tiny models gain nothing from a second thread, and two such processes on two cores run 17 times slower.
        torch.set_num_threads(cell.compute.threads or 1)
    stopping = Stopping()
    phases.enter("load")
    model, tokenizer = load(cell)
    limits = cell.grading
    with Grader(
        limits.workers,
        soft_limit_s=limits.soft_limit_s,
        hard_limit_s=limits.hard_limit_s,
        memory_bytes=limits.memory_mb << 20,
    ) as grader:
        phases.enter("problems")
        context = cell.model.context or model.config.max_position_embeddings
        problems = prepare(cell, tokenizer=tokenizer, context=context, grader=grader, batch=batch)
        if is_main:
            write_atomically(directory.path / "data.json", json.dumps(problems.facts, indent=1) + "\n")
        phases.enter("setup")
        mirror = (
            Mirror.start(directory.document, directory.path, cell.tracking.mode) if is_main else NullMirror("rank > 0")
        )
        evaluation = Evaluation(cell, directory.cell_id, directory.path, problems.tasks, grader)
        recorder = Recorder(directory.path) if is_main else None
        trainer = RLVRTrainer(
            cell=cell,
            scorer=Scorer(cell, grader),
            recorder=recorder,
            mirror=mirror,
            model=model,
            args=arguments(cell, directory.path / "checkpoints", use_cpu=use_cpu),
            train_dataset=Dataset.from_list(problems.visits),
            processing_class=tokenizer,
            peft_config=lora(cell),
            callbacks=[stopping, evaluation, Progress(say)],
        )
        trainer.remove_callback(PrinterCallback)  # every number is in metrics.jsonl
        stopping.accelerator = trainer.accelerator
        evaluation.trainer = trainer
        evaluation.phases = phases
        checkpoint = checkpoints.newest(directory.path / "checkpoints", ranks=trainer.accelerator.num_processes)
        trainer.accelerator.wait_for_everyone()
        if recorder is not None:
            checkpoints.discard_incomplete(directory.path / "checkpoints")
            step = checkpoints.step_of(checkpoint) if checkpoint else 0
            recorder.resume_at(step=step, rollout=-(-step // batch.updates))
        phases.enter("train")
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            finished = trainer.state.global_step >= batch.optimizer_steps
            phases.enter("save")
            if finished:
                _finish(directory, trainer, tokenizer, is_main=is_main)
        except BaseException:
            mirror.finish(1)
            raise
        mirror.finish(0 if finished else STOPPED)
    say(step=trainer.state.global_step, steps=batch.optimizer_steps)
    if is_main:
        phases.enter("end")
        write_atomically(directory.path / "phases.json", json.dumps(phases.seconds, indent=1) + "\n")
        if finished:
            say(state="done", finished=time.time(), phase=None)
            _mark_done(directory)
    return finished


def _finish(directory: CellDir, trainer: Any, tokenizer: Any, *, is_main: bool) -> None:
    """Write the final model (atomically: an unfinished folder has another name) and drop the checkpoints."""
    target, partial = directory.path / "model", directory.path / "model.partial"
    if trainer.cell.compute.keep_model:
        trainer.save_model(str(partial))  # every rank: ZeRO-3 gathers here
    trainer.accelerator.wait_for_everyone()
    if not is_main:
        return
    if trainer.cell.compute.keep_model:
        tokenizer.save_pretrained(partial)
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle with paths of this machine
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    shutil.rmtree(directory.path / "checkpoints", ignore_errors=True)


def _mark_done(directory: CellDir) -> None:
    """DONE, written last: the artefacts and their hashes."""
    kept = [directory.path / name for name in ("metrics.jsonl", "data.json")]
    kept += [p for pattern in ("rollouts/*", "evals/*/*", "model/*") for p in sorted(directory.path.glob(pattern))]
    hashes = {}
    for path in kept:
        with path.open("rb") as file:
            hashes[str(path.relative_to(directory.path))] = hashlib.file_digest(file, "sha256").hexdigest()
    write_atomically(directory.path / "DONE", json.dumps(hashes, indent=1) + "\n")


class Phases:
    """Seconds by phase of an attempt, and the phase in status.json for whoever watches."""

    def __init__(self, began: float, say: Callable[..., None]) -> None:
        self.seconds: dict[str, float] = {}
        self._say, self._name, self._began = say, "start", began

    def enter(self, name: str) -> str:
        """Close the running phase, open `name`; the name of the former."""
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        former, self._name, self._began = self._name, name, now
        if name != "end":
            self._say(phase=name)
        return former


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
