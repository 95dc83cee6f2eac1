"""The process that samples a model as it is, for label, align, probe and baseline: no trainer, no gradient.

    python -m rlvr_sweep.train.sampler 64:runs/_samples/lab-olmo-chat-add-t1--3f2a9c01b7de ...

Each word is a store (evals/store.py) and how many samples of each prompt are wanted. All share one model. Killed at any
point it has lost one batch. Exit code: 0 done, 1 failed, 2 a user's mistake.
"""

import os

# Before any import of torch, as in worker.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.store import Store

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130


def main(words: Sequence[str]) -> int:
    try:
        return _sample(
            [(Store(Path(path)), int(samples)) for samples, _, path in (word.partition(":") for word in words)]
        )
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _sample(wanted: Sequence[tuple[Store, int]]) -> int:
    warnings.filterwarnings("ignore", category=FutureWarning)
    import torch
    from transformers.utils.logging import disable_progress_bar

    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.train.model import load

    disable_progress_bar()  # of loading weights
    cell = wanted[0][0].job.cell
    use_cpu = cell.compute.device == "cpu" or not torch.cuda.is_available()
    if cell.compute.device == "cuda" and use_cpu:
        raise UserError(
            "compute.device=cuda: torch sees no GPU; write compute.device=cpu, or see `python -m rlvr_sweep doctor`"
        )
    if use_cpu:
        torch.set_num_threads(cell.compute.threads or 1)
    device = torch.device("cpu" if use_cpu else "cuda")
    if cell.compute.backend == "vllm":
        print("rlvr_sweep: compute.backend=vllm is for runs; this samples with Hugging Face", file=sys.stderr)
    model, tokenizer = load(cell)
    model.to(device)
    code = 0
    with Grader.within(cell.grading) as grader:
        for store, samples in wanted:
            try:
                with store.lock():
                    _one(store, samples, model=model, tokenizer=tokenizer, device=device, grader=grader)
            except UserError as error:  # of this job alone: a template that this tokenizer cannot do
                print(f"rlvr_sweep: {store.path.name}: {error}", file=sys.stderr)
                code = USER_ERROR
    return code


def _one(store: Store, samples: int, *, model: Any, tokenizer: Any, device: Any, grader: Any) -> None:
    """All that is missing of one job."""
    from rlvr_sweep.evals.sampling import Ranks, evaluate
    from rlvr_sweep.train.generation import Sampling, Untrained
    from rlvr_sweep.train.sampler_tasks import make_task

    job = store.job
    cell, bench = job.cell, job.benchmark
    context = cell.model.context or model.config.max_position_embeddings
    task, prompts, skipped = make_task(job, tokenizer=tokenizer, context=context, grader=grader)
    if not store.is_begun:
        store.write_prompts(prompts, skipped=skipped)
    elif store.prompts() != prompts:  # a Hub revision that is not pinned has moved on; samples go by a prompt's place
        raise UserError("its prompts have changed since it was begun; delete the folder, or pin the data's revision")
    missing = store.missing(samples=samples)
    assert missing is not None
    if not missing:  # another process was quicker
        return
    backend = Untrained(model, tokenizer, device=device, dtype=cell.model.dtype, stop=list(cell.model.stop), batch=None)
    sampling = Sampling(task.max_tokens, bench.temperature, bench.top_p)

    def generate(prompts: Any, *, seeds: Any) -> list[tuple[list[int], bool]]:
        return [(sample.ids, sample.truncated) for sample in backend.generate(prompts, sampling, seeds=seeds)]

    size = cell.eval.batch
    with _Bar(store.path.name, total=len(missing)) as bar:
        for start in range(0, len(missing), size):
            chunk = missing[start : start + size]
            rows = evaluate(
                task,
                generate,
                grader,
                lambda ids: tokenizer.batch_decode(ids, skip_special_tokens=True),
                cell_id=store.id,
                step=0,
                seed=cell.seed,
                batch=size,
                ranks=Ranks(0, 1, list),
                by=cell.grading.grader,
                jobs=chunk,
            )
            store.add(rows)
            bar.advance(len(chunk))


class _Bar:
    """How far a job is: a bar on a terminal, else a line at its beginning and one at its end."""

    def __init__(self, name: str, *, total: int) -> None:
        self.name, self.total, self.done, self.began = name, total, 0, time.monotonic()

    def __enter__(self) -> "_Bar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.bar.start()
        self.task = self.bar.add_task(self.name, total=self.total)
        if not console.is_terminal:
            print(f"sampling {self.total} completions: {self.name}", file=sys.stderr, flush=True)
        return self

    def advance(self, count: int) -> None:
        self.done += count
        self.bar.advance(self.task, count)

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        if self.done:
            seconds = time.monotonic() - self.began
            print(f"sampled {self.done} of {self.total} in {seconds:.0f} s: {self.name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written by now; taking torch apart costs more than a second
