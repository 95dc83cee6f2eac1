"""DeepSpeed's configuration of a cell, from compute.zero and compute.offload; there is no JSON file to keep in step.

    config(cell)        # None where compute.zero=0
    join(cell)          # before the trainer is made

ZeRO shards over the ranks what each would hold a copy of: 1 the optimizer's state, 2 also the gradients, 3 also the
weights. The batches are those of one GPU, and the update but for rounding: with model.dtype=bfloat16 DeepSpeed holds
the weights in bfloat16 beside a float32 master copy, and sums the gradients of passes and ranks in bfloat16; without it
weights and sums are in float32, and computed with in bfloat16.
"""

import os
from importlib import import_module
from typing import Any

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.versions import check_installed


def config(cell: Cell) -> dict[str, Any] | None:
    """What GRPOConfig(deepspeed=...) takes. "auto" is filled in from the other arguments, so that nothing is said
    twice. UserError where DeepSpeed is not installed."""
    compute = cell.compute
    if not compute.zero:
        return None
    check_installed(compute)
    if compute.device == "cpu":
        _spare_the_compiler()
    zero: dict[str, Any] = {
        "stage": compute.zero,
        "overlap_comm": compute.device != "cpu",
        "contiguous_gradients": True,
        "reduce_bucket_size": 500_000_000,
        "allgather_bucket_size": 500_000_000,
    }
    if compute.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": compute.device != "cpu"}
    if compute.zero == 3:
        zero["stage3_param_persistence_threshold"] = "auto"  # smaller ones stay whole; by the hidden size
        # Otherwise the final model and its checkpoints would hold a rank's shards.
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        if compute.offload:
            zero["offload_param"] = {"device": "cpu", "pin_memory": compute.device != "cpu"}
    return {
        "zero_optimization": zero,
        # torch's AdamW, as without ZeRO: DeepSpeed's own for the CPU needs a compiler, and rounds otherwise.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "steps_per_print": 1_000_000_000,  # its log says nothing that metrics.jsonl does not
        "wall_clock_breakdown": False,
    }


def join(cell: Cell) -> None:
    """Tell DeepSpeed of the ranks before it makes an engine, once torch's process group is there: ZeRO-3 cuts the
    reference model (estimator.kl) by them, and would take itself for alone. Accelerate does it for GPUs, not for cores.
    """
    if cell.compute.zero:
        from deepspeed import comm

        if not comm.is_initialized():
            comm.init_distributed(auto_mpi_discovery=False, verbose=False)


def _spare_the_compiler() -> None:
    """On CPU ranks DeepSpeed would compile collectives of its own at the first start (a minute, and it fails without a
    compiler); gloo's do the same."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # What it may compile; otherwise found out by trial.
    import_module("deepspeed.ops").__dict__["__compatible_ops__"] = {}
