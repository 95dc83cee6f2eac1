"""The process that samples a model as it is, for label, align, probe and baseline: no trainer, no gradient.

    python -m rlvr_sweep.train.sampler 64:runs/_samples/lab-olmo-chat-add-t1--3f2a9c01b7de ...

Each word is a store (evals/store.py) and how many samples of each prompt are wanted. All share one model. With
compute.ranks=4 it starts four more of its kind, a GPU each (sampler_ranks.py). Killed at any point it has lost one
batch. Exit code: 0 done, 1 failed, 2 a user's mistake.
"""

import os

# Before any import of torch, as in worker.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.store import Store
from rlvr_sweep.protocol import FAILED, USER_ERROR
from rlvr_sweep.train import failure
from rlvr_sweep.train.sampler_ranks import INTERRUPTED, read_word, spread

if TYPE_CHECKING:
    from rlvr_sweep.train.generation import Backend
    from rlvr_sweep.train.sampler_tasks import Made


def main(words: Sequence[str]) -> int:
    try:
        wanted = [read_word(word) for word in words]
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return USER_ERROR
    try:
        compute = wanted[0][0].job.cell.compute
        if compute.ranks > compute.nodes and wanted[0][0].share is None:
            return spread(wanted)
        return _sample(wanted)
    except UserError as error:
        print(f"rlvr_sweep: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # the process boundary, as in worker.py: the usual cause stands below the traceback
        traceback.print_exc()
        print(f"rlvr_sweep: {failure.reason(error, wanted[0][0].path)}", file=sys.stderr)
        return FAILED


def _sample(wanted: Sequence[tuple[Store, int]]) -> int:
    warnings.filterwarnings("ignore", category=FutureWarning)
    import torch
    from transformers.utils.logging import disable_progress_bar

    from rlvr_sweep.grading.pool import Grader
    from rlvr_sweep.train.model import facts, load_tokenizer
    from rlvr_sweep.train.sampler_tasks import make_task

    disable_progress_bar()  # of loading weights
    cell = wanted[0][0].job.cell
    use_cpu = cell.compute.device == "cpu" or not torch.cuda.is_available()
    if cell.compute.device == "cuda" and use_cpu:
        raise UserError(
            "compute.device=cuda: torch sees no GPU; write compute.device=cpu, or see `python -m rlvr_sweep doctor`"
        )
    if use_cpu:
        torch.set_num_threads(cell.compute.threads or 1)
    tokenizer = load_tokenizer(cell)
    ends, context = facts(cell, tokenizer)
    faults: dict[Store, UserError] = {}  # of one job alone: a template that this tokenizer cannot do
    share = wanted[0][0].share
    with Grader.within(cell.grading, processes=share.of if share else 1) as grader:
        made = {}
        for store, samples in wanted:
            try:
                made[store, samples] = make_task(store.job, tokenizer=tokenizer, context=context, grader=grader)
            except UserError as error:
                faults[store] = error
        if made:
            window = max(max(map(len, task.prompts), default=0) + task.max_tokens for task, _, _ in made.values())
            backend = _backends(cell, ends=ends, window=window, use_cpu=use_cpu)
            for (store, samples), task in made.items():
                try:
                    with store.lock():
                        _one(store, samples, task, backend=backend, tokenizer=tokenizer, grader=grader)
                except UserError as error:
                    faults[store] = error
    for store, error in faults.items():
        print(f"rlvr_sweep: {store.path.name}: {error}", file=sys.stderr)
    return USER_ERROR if faults else 0


def _backends(cell: Cell, *, ends: list[int], window: int, use_cpu: bool) -> "Callable[[Cell], Backend]":
    """What samples for a cell of this model, whatever its stop strings. `window`: tokens of the longest prompt with its
    completion."""
    import torch

    from rlvr_sweep.train.generation import Untrained
    from rlvr_sweep.train.model import folder, load
    from rlvr_sweep.train.vllm_engine import VLLM, alone, require

    if cell.compute.backend == "vllm_server":
        raise UserError(
            "compute.backend=vllm_server: a server has the weights of the cell that trains with it; write "
            "compute.backend=vllm"
        )
    require(cell, use_cpu=use_cpu)
    if cell.compute.backend == "vllm":
        llm = alone(folder(cell), dtype=cell.model.dtype, window=window)
        return lambda of: VLLM(llm, ends=ends, stop=of.model.stop)
    model, tokenizer = load(cell)
    device = torch.device("cpu" if use_cpu else "cuda")
    model.to(device)
    return lambda of: Untrained(
        model, tokenizer, device=device, dtype=of.model.dtype, stop=list(of.model.stop), batch=None
    )


def _one(store: Store, samples: int, made: "Made", *, backend: Any, tokenizer: Any, grader: Any) -> None:
    """All that is missing of one job."""
    from rlvr_sweep.evals.sampling import Ranks, at_once, evaluate
    from rlvr_sweep.train.generation import Sampling

    cell, bench = store.job.cell, store.job.benchmark
    task, prompts, skipped = made
    if not store.is_begun:
        store.write_prompts(prompts, skipped=skipped)
    elif store.prompts() != prompts:  # a Hub revision that is not pinned has moved on; samples go by a prompt's place
        raise UserError("its prompts have changed since it was begun; delete the folder, or pin the data's revision")
    missing = store.missing(samples=samples)
    assert missing is not None
    if not missing:  # another process was quicker
        return
    engine, sampling = backend(cell), Sampling(task.max_tokens, bench.temperature, bench.top_p)

    def generate(prompts: Any, *, seeds: Any) -> list[tuple[list[int], bool]]:
        return [(sample.ids, sample.truncated) for sample in engine.generate(prompts, sampling, seeds=seeds)]

    size = at_once(cell)
    name = store.path.name + (f", process {store.share.index + 1} of {store.share.of}" if store.share else "")
    with _Bar(name, total=len(missing)) as bar:
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
