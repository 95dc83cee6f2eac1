"""The process that runs one cell. It knows no Hydra: it reads cell.json and writes the record beside it.

    python -m rlvr_sweep.train.worker runs/<slug>--<cell_id>
    torchrun --standalone --nproc_per_node 8 -m rlvr_sweep.train.worker runs/<slug>--<cell_id>

Exit code: 0 done, 1 failed (the reason is in status.json), 2 a user's mistake, 3 another process runs it,
75 stopped in good order before the end.
"""

import os

# Before any import of torch: two torch processes with two threads each on two cores run 17 times slower than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import hashlib
import json
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from rlvr_sweep.cell_dir import CellDir, Locked, write_atomically
from rlvr_sweep.config.rules import arm
from rlvr_sweep.config.schema import Model
from rlvr_sweep.errors import UserError
from rlvr_sweep.lifeline import dies_with_parent
from rlvr_sweep.protocol import ATTEMPT, FAILED, JOB, LOCKED, STOPPED, USER_ERROR
from rlvr_sweep.train import checkpoints, deepspeed, failure


def main(argv: list[str]) -> int:
    began = time.perf_counter()
    if "TORCHELASTIC_RUN_ID" in os.environ and (with_torchrun := dies_with_parent(signal.SIGKILL)):
        with_torchrun()  # it starts ranks in sessions of their own: a kill of its group would leave them behind
    rank = int(os.environ.get("RANK", "0"))
    try:
        directory = CellDir(Path(argv[0]))
        with directory.lock() if rank == 0 else nullcontext():
            if directory.is_done:  # another process was quicker
                return 0
            return _attempt(directory, rank=rank, began=began)
    except Locked as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return LOCKED
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return USER_ERROR


def _attempt(directory: CellDir, *, rank: int, began: float) -> int:
    """One attempt under the lock: train, and turn what happens into a status and an exit code."""
    say = directory.status if rank == 0 else _nothing
    failures = directory.read_status().get("failures", 0) + 1  # one attempt is one failure, however many ranks fail
    if rank == 0:
        number = int(os.environ.get(ATTEMPT) or directory.next_attempt())
        begun = {"state": "running", "attempt": number, "pid": os.getpid(), "started": time.time()}
        say(**begun, job=os.environ.get(JOB), finished=None, reason=None, exit=None)
    try:
        finished = train(directory, say=say, is_main=rank == 0, began=began)
    except UserError as error:
        _fail(directory, rank, str(error), USER_ERROR, failures)
        raise
    except Exception as error:  # the process boundary: the log holds the traceback, the status its first line
        reason = failure.reason(error, directory.path)
        if rank == 0:  # on a full disk a half-written checkpoint takes the room that log and status need
            checkpoints.discard_incomplete(directory.path / "checkpoints")
        traceback.print_exc()
        _fail(directory, rank, reason, FAILED, failures)
        return FAILED
    if not finished:
        reason = "asked to stop; start it again and it goes on"
        say(state="preempted", finished=time.time(), reason=reason, exit=STOPPED)
        return STOPPED
    return 0


def _nothing(**changes: Any) -> None:
    """Ranks other than 0 write no status while all goes well."""


def _fail(directory: CellDir, rank: int, reason: str, code: int, failures: int) -> None:
    """The first rank to fail says why: the others are stopped by it, and their reasons are only echoes. A user's
    mistake is nobody's echo; all ranks find it, and the first of them says it without its number."""
    state = directory.read_status().get("state")
    is_echo = state == "failed" and code != USER_ERROR
    if state == "running" or (rank == 0 and not is_echo):
        where = f"rank {rank}: " if rank else ""
        try:
            directory.fail(where + reason, code=code, failures=failures)
        except OSError as error:  # a full disk; whoever started us says it, from the last line of our log
            print(f"rlvr_sweep: {where}{reason} (status.json cannot be written: {error.strerror})", file=sys.stderr)


def train(directory: CellDir, *, say: Callable[..., None], is_main: bool, began: float) -> bool:
    """Run or resume the cell; False if it was stopped before its end."""
    cell = directory.cell
    batch = arm(cell)
    warnings.filterwarnings("ignore", category=FutureWarning)  # transformers repeats three of them in every generation
    say(phase="import")
    if cell.compute.backend == "hf":
        leave_out_vllm()
    import torch
    from accelerate.utils import broadcast_object_list
    from datasets import Dataset
    from transformers import PrinterCallback

    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.shapes.memory import kept_tokens, saving_seconds
    from rlvr_sweep.train.arguments import arguments
    from rlvr_sweep.train.environment import environment
    from rlvr_sweep.train.evaluation import Evaluation
    from rlvr_sweep.train.mirror import Mirror, NullMirror
    from rlvr_sweep.train.model import load, lora
    from rlvr_sweep.train.problems import prepare
    from rlvr_sweep.train.progress import Clock, Phases, Progress, Saving
    from rlvr_sweep.train.recorder import Recorder
    from rlvr_sweep.train.scoring import Scorer
    from rlvr_sweep.train.stopping import Stopping
    from rlvr_sweep.train.trainer import RLVRTrainer
    from rlvr_sweep.train.vllm_engine import require
    from rlvr_sweep.train.vllm_server import hold

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != cell.compute.ranks:  # the batches were planned for that many
        raise UserError(f"compute.ranks={cell.compute.ranks}, but {ranks} were started; write compute.ranks={ranks}")
    use_cpu = cell.compute.device == "cpu" or not torch.cuda.is_available()
    if cell.compute.device == "cuda" and use_cpu:
        raise UserError(
            "compute.device=cuda: torch sees no GPU; write compute.device=cpu, or see `python -m rlvr_sweep doctor`"
        )
    require(cell, use_cpu=use_cpu)
    if use_cpu or cell.compute.threads:
        # Tiny models gain nothing from a second thread, and two such processes on two cores run 17 times slower.
        torch.set_num_threads(cell.compute.threads or 1)
    # The smallest GPU of the cell's on this node, so that all ranks there judge alike.
    sizes = [
        torch.cuda.get_device_properties(i).total_memory for i in range(0 if use_cpu else torch.cuda.device_count())
    ]
    total = min(sizes, default=None)
    # On a CPU no memory is worked out: auto keeps all.
    kept = kept_tokens(cell, total) if total or cell.compute.gradient_checkpointing != "auto" else None
    if is_main:
        attempt = directory.path / "attempts" / str(directory.read_status().get("attempt", 1))
        attempt.mkdir(parents=True, exist_ok=True)
        write_atomically(
            attempt / "env.json", json.dumps(environment(cell, use_cpu=use_cpu, kept=kept), indent=1) + "\n"
        )
        _check_content(directory)
    stopping, clock, phases = Stopping(saving_seconds(cell)), Clock(), Phases(began, say)
    former = directory.read_status()  # of another attempt
    if (took := former.get("saved_in")) is not None:
        stopping.saved_in(took)
    phases.enter("load")
    model, tokenizer = load(cell)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    with Grader.within(cell.grading, processes=here) as grader, ExitStack() as servers:
        phases.enter("problems")
        context = cell.model.context or model.config.max_position_embeddings
        problems = prepare(cell, tokenizer=tokenizer, context=context, grader=grader, batch=batch)
        if is_main:
            write_atomically(directory.path / "data.json", json.dumps(problems.facts, indent=1) + "\n")
            if warning := problems.facts["prompt"]["warning"]:
                print(f"rlvr_sweep: {warning}", file=sys.stderr)
        phases.enter("setup")
        if cell.compute.backend == "vllm_server":
            servers.enter_context(hold(cell, window=problems.window, is_main=is_main))
        quiet = NullMirror("rank > 0")
        mirror = Mirror.start(directory.document, directory.path, cell.tracking.mode) if is_main else quiet
        evaluation = Evaluation(
            cell, directory.cell_id, directory.path, tasks=problems.tasks, grader=grader, stopping=stopping
        )
        evaluation.took = former.get("evaluated_in", 0.0)
        recorder = Recorder(directory.path) if is_main else None
        checkpoint_dir, anew = directory.path / "checkpoints", kept is not None
        args = arguments(cell, checkpoint_dir, use_cpu=use_cpu, window=problems.window, recompute=anew)
        deepspeed.join(cell)
        trainer = RLVRTrainer(
            cell=cell,
            scorer=Scorer(cell, grader),
            recorder=recorder,
            mirror=mirror,
            clock=clock,
            kept=kept,
            model=model,
            args=args,
            train_dataset=Dataset.from_list(problems.visits),
            processing_class=tokenizer,
            peft_config=lora(cell),
            callbacks=[clock, stopping, evaluation, Progress(say), Saving(phases, stopping, say)],
        )
        trainer.remove_callback(PrinterCallback)  # every number is in metrics.jsonl
        if cell.compute.zero == 3:
            _agree(kept)
        stopping.accelerator = trainer.accelerator
        evaluation.trainer, evaluation.phases = trainer, phases
        ranks, zero = trainer.accelerator.num_processes, cell.compute.zero
        # All go by what the first rank sees, which waits for the others' look before it removes any.
        checkpoint = checkpoints.newest(checkpoint_dir, ranks=ranks, zero=zero)
        [checkpoint] = broadcast_object_list([checkpoint])
        trainer.accelerator.wait_for_everyone()
        if recorder is not None:
            checkpoints.discard_incomplete(checkpoint_dir)
            for line in checkpoints.set_damaged_aside(checkpoint_dir):
                print(f"rlvr_sweep: {line}", file=sys.stderr)
            step = checkpoints.step_of(checkpoint) if checkpoint else 0
            recorder.resume_at(step=step, rollout=-(-step // batch.updates))
        phases.enter("train")
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            step = trainer.state.global_step
            # The last evaluation may still be owed, if the cell was asked to stop in its last step.
            finished = step >= batch.optimizer_steps and not evaluation.is_owed(step)
            phases.enter("save")
            if finished:
                _finish(directory, trainer, tokenizer, is_main=is_main)
        except BaseException:
            mirror.finish(FAILED)
            raise
        mirror.finish(0 if finished else STOPPED)
    say(step=step, steps=batch.optimizer_steps)
    if is_main:
        phases.enter("end")
        write_atomically(directory.path / "phases.json", json.dumps(phases.seconds, indent=1) + "\n")
        if finished:
            _mark_done(directory)
            say(state="done", finished=time.time(), phase=None, exit=0)
            shutil.rmtree(checkpoint_dir, ignore_errors=True)  # not before DONE is there
    return finished


def leave_out_vllm() -> None:
    """TRL imports vLLM wherever it is installed: seconds of every cell that samples without it."""
    vars(import_module("trl.import_utils"))["is_vllm_available"] = lambda *args, **kwargs: False


def _agree(kept: int | None) -> None:
    """Ranks that gather a layer once more wait for the others: they must all, or none."""
    from accelerate.utils import gather_object

    if len(set(gather_object([kept]))) > 1:
        raise UserError(
            "compute.gradient_checkpointing=auto: the cell's GPUs are of different sizes, and have room for the "
            "activations of some ranks only; write compute.gradient_checkpointing=true"
        )


def _check_content(directory: CellDir) -> None:
    """The files a cell was composed from must still be those: else its id would stand for something else."""
    from rlvr_sweep.config.content import facts

    found = facts(directory.cell)
    if found.faults:
        raise UserError("\n".join(found.faults))
    changed = sorted(key for key, value in directory.document["content"].items() if found.hashes.get(key) != value)
    if changed:
        raise UserError(f"{', '.join(changed)}: changed since this cell was composed; run the command again")


def _finish(directory: CellDir, trainer: Any, tokenizer: Any, *, is_main: bool) -> None:
    """Write the final model; atomically: an unfinished folder has another name.

    With LoRA, adapter/ holds what was trained and model/ the base with it merged in, to be used as any other.
    """
    from peft import PeftModel

    from rlvr_sweep.train.model import merged

    if not trainer.cell.compute.keep_model:
        return
    target, partial = directory.path / "model", directory.path / "model.partial"
    model = trainer.accelerator.unwrap_model(trainer.model)
    if isinstance(model, PeftModel):
        _name_base(model, trainer.cell.model)
        trainer.save_model(str(directory.path / "adapter"))
        if trainer.cell.compute.zero != 3:
            model = model.merge_and_unload()
        elif is_main:
            model = merged(trainer.cell, directory.path / "adapter")
        if is_main:
            model.save_pretrained(str(partial))
    elif trainer.cell.compute.zero in (1, 2):  # every rank has it whole; save_model would write tied weights twice
        if is_main:
            model.save_pretrained(str(partial))
    else:
        trainer.save_model(str(partial))
    trainer.accelerator.wait_for_everyone()
    if not is_main:
        return
    tokenizer.save_pretrained(partial)
    for folder in (partial, directory.path / "adapter"):
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle with paths of this machine
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)


def _name_base(model: Any, choice: Model) -> None:
    """What is written of an adapter names a Hub model as the Hub does, not the folder of this machine's cache."""
    if choice.hub is None:
        return
    base = model.get_base_model()
    base.name_or_path = base.config._name_or_path = choice.hub
    for adapter in model.peft_config.values():
        adapter.base_model_name_or_path, adapter.revision = choice.hub, choice.revision


def _mark_done(directory: CellDir) -> None:
    """DONE, written last: the artefacts and their hashes."""
    kept = [directory.path / name for name in ("metrics.jsonl", "data.json")]
    for pattern in ("rollouts/*", "evals/*/*", "model/*", "adapter/*"):
        kept += sorted(directory.path.glob(pattern))
    hashes = {}
    for path in kept:
        with path.open("rb") as file:
            hashes[str(path.relative_to(directory.path))] = hashlib.file_digest(file, "sha256").hexdigest()
    write_atomically(directory.path / "DONE", json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is closed and written by now; taking torch and transformers apart would cost 1.4 s more
