"""Runs cells one after the other in one set of ranks: importing torch and TRL takes longer than a tiny cell.

    torchrun --standalone --nproc_per_node 2 -m tests.train.rank_pair CODES.json CELL_DIR CELL_DIR@2 CELL_DIR ...
    run_pair(tmp_path, [f"{cell.path}@2", str(cell.path)])        # in a test: [STOPPED, DONE]

CELL_DIR@2 is asked to stop once step 2 is on record (so after step 3), by a signal that only rank 0 gets. CELL_DIR#90
keeps the activations of passes of up to 90 tokens (CELL_DIR#rank: of the rank's number) and leaves anew-RANK.json, what
was decided of each pass, and reentrant-RANK.json, which checkpointing was there. CODES.json takes the exit codes of
rank 0. A LoRA cell leaves pushed.safetensors: the weights that vLLM would be given at its end; one with compute.offload
offloaded-RANK.json: the bytes its optimizer holds then.
"""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.modeling_layers import GradientCheckpointingLayer
from trl.distributed import DistributedBackend

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.shapes import memory
from rlvr_sweep.train import passes, worker
from rlvr_sweep.train.recorder import Recorder
from rlvr_sweep.train.vllm_engine import merged
from tests.conftest import ROOT

PATIENCE_S = 1800  # twenty cells, on any machine: it ends what hangs, and judges no speed
record_step, finish, compute_anew = Recorder.step, worker._finish, passes._compute_anew


def run_pair(folder: Path, words: Sequence[str]) -> list[int]:
    """The exit codes of these cells, run by one pair of ranks."""
    out = folder / "codes.json"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "tests.train.rank_pair", str(out), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(out.read_text())


def stop_at(step: int | None) -> None:
    """Send the signal after that step's record; None: never."""

    def step_and_stop(self: Recorder, metrics: dict[str, Any], timings: dict[str, Any]) -> None:
        record_step(self, metrics, timings)
        if metrics["step"] == step:
            os.kill(os.getpid(), signal.SIGUSR1)

    Recorder.step = step_and_stop  # rank 0 alone has a recorder


def keep(kept: str) -> tuple[list[bool], list[bool]]:
    """Keep the activations of passes of up to so many tokens, or of the rank's number. Filled with what is decided, and
    with whether torch's checkpointing was the reentrant one then."""
    made: list[bool] = []
    reentrant: list[bool] = []

    def decide(model: Any, on: bool) -> None:
        made.append(on)
        layer: Any = next(module for module in model.modules() if isinstance(module, GradientCheckpointingLayer))
        reentrant.append(layer._gradient_checkpointing_func.keywords["use_reentrant"])
        compute_anew(model, on)

    passes._compute_anew = decide
    memory.kept_tokens = lambda cell, total: int(os.environ["RANK"] if kept == "rank" else kept)
    return made, reentrant


def pieces(found: Any) -> Iterator[torch.Tensor]:
    """Tensors and their gradients, of containers those inside; buckets are objects of their own, and a GPU's."""
    if isinstance(found, torch.Tensor):
        yield found
        if found.is_leaf and found.grad is not None:
            yield found.grad
    elif isinstance(found, (dict, list, tuple)):
        for each in found.values() if isinstance(found, dict) else found:
            yield from pieces(each)


def offloaded(trainer: Any) -> int:
    """Bytes that DeepSpeed's optimizer holds, but for what would be on a GPU."""
    optimizer = trainer.model_wrapped.optimizer
    on_gpu = [*trainer.model.parameters(), getattr(optimizer, "temp_grad_buffer_for_gpu_offload", None)]
    elsewhere = {each.untyped_storage().data_ptr() for each in pieces(on_gpu)}
    held = [each.untyped_storage() for each in pieces([*vars(optimizer).values(), optimizer.optimizer.state])]
    return sum({each.data_ptr(): each.nbytes() for each in held if each.data_ptr() not in elsewhere}.values())


def push_and_finish(directory: CellDir, trainer: Any, tokenizer: Any, *, is_main: bool) -> None:
    if trainer.cell.model.lora is not None:
        engine: Any = SimpleNamespace(model=trainer.model, _dist=DistributedBackend(trainer.accelerator))
        engine._fix_param_name_to_vllm = lambda name: name
        pushed = {name: weight.detach().clone() for name, weight in merged(engine)}
        if is_main:
            save_file(pushed, directory.path / "pushed.safetensors")
    if trainer.cell.compute.offload:
        (directory.path / f"offloaded-{os.environ['RANK']}.json").write_text(json.dumps(offloaded(trainer)))
    finish(directory, trainer, tokenizer, is_main=is_main)


def main(argv: list[str]) -> int:
    out, *cells = argv
    worker._finish = push_and_finish
    codes = []
    for word in cells:
        path, _, kept = word.partition("#")
        path, _, step = path.partition("@")
        stop_at(int(step) if step else None)
        anew, reentrant = keep(kept)
        codes.append(worker.main([path]))
        if kept:
            (Path(path) / f"anew-{os.environ['RANK']}.json").write_text(json.dumps(anew))
            (Path(path) / f"reentrant-{os.environ['RANK']}.json").write_text(json.dumps(reentrant))
        unset_hf_deepspeed_config()  # or the next model would be loaded as this one's shards
        gc.collect()
        dist.barrier()
    if os.environ["RANK"] == "0":
        Path(out).write_text(json.dumps(codes))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
