"""A cell's choices as TRL's GRPOConfig: every knob that touches the update is written here, whatever TRL's default.

TRL counts optimizer steps and per-device batches; batch.py derives them. Paper constants: spurious_rewards, section 3
and 9.
"""

from pathlib import Path

from trl.trainer.grpo_config import GRPOConfig

from rlvr_sweep.config.rules import arm, epsilons
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.train.deepspeed import config as deepspeed_config
from rlvr_sweep.train.losses import AGGREGATION
from rlvr_sweep.train.vllm_server import free_port


def arguments(
    cell: Cell, output: Path, *, use_cpu: bool, window: int | None = None, recompute: bool = False
) -> GRPOConfig:
    """The GRPOConfig of a cell; checkpoints go under `output`. `window`: tokens of the longest prompt with its
    completion, for which vLLM makes room (None: the model's context). `recompute`: gradient checkpointing."""
    batch, algo, estimator = arm(cell), cell.algo, cell.estimator
    low, high = epsilons(cell)
    is_reentrant = recompute and cell.model.lora is not None and cell.compute.zero == 3
    server = cell.compute.vllm_server
    every = cell.compute.checkpoint_every * batch.stretch * batch.updates
    return GRPOConfig(
        output_dir=str(output),
        seed=cell.seed,
        use_cpu=use_cpu,
        bf16=cell.model.dtype == "bfloat16",
        deepspeed=deepspeed_config(cell),
        # batches
        per_device_train_batch_size=batch.micro_batch,
        gradient_accumulation_steps=batch.gradient_accumulation_steps,
        steps_per_generation=batch.steps_per_generation,
        num_generations=batch.completions,
        num_iterations=1,
        max_steps=batch.optimizer_steps,
        shuffle_dataset=False,  # the order of prompts is ours (data/order.py)
        # sampling
        max_completion_length=algo.max_completion_tokens,
        temperature=algo.temperature,
        top_p=1.0,
        top_k=0,
        min_p=None,
        repetition_penalty=1.0,
        # the update
        loss_type=AGGREGATION.get(estimator.loss, estimator.loss),
        scale_rewards=estimator.scale,
        multi_objective_aggregation="sum_then_normalize",
        importance_sampling_level="token",
        epsilon=low,
        epsilon_high=high,
        delta=cell.clip.dual,  # clamps the ratio from above; where A > 0 the bound of epsilon_high is tighter
        beta=estimator.kl,
        use_bias_correction_kl=False,
        top_entropy_quantile=1.0,
        entropy_coef=0.0,  # ours does not depend on the micro-batches: losses.entropy_term
        use_adaptive_entropy=False,
        mask_truncated_completions=algo.mask_truncated,
        off_policy_mask_threshold=None,
        use_vllm=cell.compute.backend != "hf",
        vllm_mode="server" if server else "colocate",
        vllm_server_base_url=server,
        vllm_group_port=free_port() if server else 51216,  # the weights go through it
        vllm_enable_sleep_mode=cell.compute.vllm_sleep,
        vllm_gpu_memory_utilization=cell.compute.vllm_memory,
        vllm_tensor_parallel_size=1,
        vllm_max_model_length=window,
        # A second, length-dependent clip (TRL's default is on).
        vllm_importance_sampling_correction=estimator.rollout_correction != "none",
        vllm_importance_sampling_mode=estimator.rollout_correction.replace("none", "sequence_mask"),
        vllm_importance_sampling_clip_min=None,
        vllm_importance_sampling_clip_max=estimator.rollout_correction_max,
        disable_dropout=True,
        # the optimizer
        optim="adamw_torch_fused",  # the same steps, without a copy of the weights beside them
        learning_rate=algo.learning_rate,
        lr_scheduler_type=algo.schedule,
        warmup_steps=algo.warmup_updates,
        adam_beta1=algo.adam_beta1,
        adam_beta2=algo.adam_beta2,
        adam_epsilon=algo.adam_epsilon,
        weight_decay=algo.weight_decay,
        max_grad_norm=algo.max_grad_norm,
        gradient_checkpointing=recompute,
        # TRL sets it itself, too late for a start in the middle of a rollout: transformers has read its other name.
        gradient_checkpointing_kwargs={"use_reentrant": True} if is_reentrant else None,
        use_liger_kernel=cell.compute.liger,  # layer kernels alone: the LM head stays TRL's
        ddp_find_unused_parameters=False,
        # the record is ours
        report_to="none",
        logging_steps=1,
        logging_nan_inf_filter=False,
        log_completions=False,
        disable_tqdm=True,
        eval_strategy="no",
        save_strategy="steps" if every else "no",
        save_steps=every or 1,
        save_total_limit=None,  # checkpoints.py removes old ones, after the new one is complete
        save_only_model=False,
        dataloader_pin_memory=False,  # rows are text
    )
