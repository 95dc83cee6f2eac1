"""What a cell asks of TRL: the batches agree with TRL's arithmetic, and no knob of the update is left to a default."""

import dataclasses
from pathlib import Path

import pytest
from trl.trainer.grpo_config import GRPOConfig

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.train.arguments import arguments


def config(tmp_path: Path, *lines: str) -> GRPOConfig:
    return arguments(compose_or_refuse(list(lines), multirun=False)[0].cell, tmp_path, use_cpu=True)


def test_trl_derives_the_rollout_we_planned(tmp_path: Path) -> None:
    args = config(tmp_path)
    assert (args.generation_batch_size, args.num_generations, args.max_steps) == (128, 8, 80)
    assert (args.steps_per_generation, args.gradient_accumulation_steps) == (4, 1)


@pytest.mark.parametrize(
    ("clip", "steps", "per_generation", "accumulated", "rollout", "epsilon"),
    [
        ("on", 80, 4, 1, 128, 0.2),
        ("off_epsilon", 80, 4, 1, 128, 1e6),
        ("off_policy_gradient", 80, 4, 1, 128, 1e6),
        ("off_logprob", 80, 4, 1, 128, 1e6),
        ("off_large_batch", 80, 1, 1, 128, 0.2),
        ("off_small_rollout", 80, 1, 1, 32, 0.2),
    ],
)
def test_the_clip_arms(
    tmp_path: Path, clip: str, steps: int, per_generation: int, accumulated: int, rollout: int, epsilon: float
) -> None:
    args = config(tmp_path, f"clip={clip}")
    assert args.max_steps == steps
    assert (args.steps_per_generation, args.gradient_accumulation_steps) == (per_generation, accumulated)
    assert args.generation_batch_size == rollout
    assert (args.epsilon, args.epsilon_high) == (epsilon, epsilon)


def test_an_arm_matched_on_rollouts_makes_fewer_updates(tmp_path: Path) -> None:
    assert config(tmp_path, "clip=off_large_batch", "clip.match=rollouts").max_steps == 20


def test_the_papers_algorithm(tmp_path: Path) -> None:
    args = config(tmp_path, "model=qwen2.5_math_7b", "algo=spurious_rewards", "compute.micro_batch=4")
    assert (args.learning_rate, args.adam_beta2, args.weight_decay) == (5e-7, 0.95, 0.0)
    assert (args.generation_batch_size, args.gradient_accumulation_steps, args.max_steps) == (1024, 32, 2400)
    assert args.vllm_importance_sampling_correction is False


def test_a_default_that_moves_in_trl_does_not_move_us(tmp_path: Path) -> None:
    """Every field of GRPOConfig of these kinds must be stated by us, so that an upgrade cannot change the update."""
    ours = config(tmp_path)
    stock = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    stated = {
        field.name
        for field in dataclasses.fields(GRPOConfig)
        if getattr(ours, field.name, None) != getattr(stock, field.name, None)
    }
    assert {
        "lr_scheduler_type",
        "learning_rate",
        "steps_per_generation",
        "disable_dropout",
        "shuffle_dataset",
    } <= stated
    pinned = {
        "loss_type": "dapo",
        "scale_rewards": "group",
        "beta": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "num_iterations": 1,
        "delta": None,
        "importance_sampling_level": "token",
        "mask_truncated_completions": False,
        "use_bias_correction_kl": False,
        "top_entropy_quantile": 1.0,
        "max_grad_norm": 1.0,
        "temperature": 1.0,
        "entropy_coef": 0.0,
        "use_adaptive_entropy": False,
        "off_policy_mask_threshold": None,
    }
    assert {name: getattr(ours, name) for name in pinned} == pinned


@pytest.mark.parametrize(
    ("lines", "stated"),
    [
        (["estimator=grpo"], {"loss_type": "dapo", "scale_rewards": "group", "delta": None}),
        (["estimator=dr_grpo"], {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        (["estimator=dapo", "clip=dapo"], {"epsilon": 0.2, "epsilon_high": 0.28, "delta": 10.0, "loss_type": "dapo"}),
        (
            ["estimator=spurious_rewards", "compute.micro_batch=8"],
            {"loss_type": "bnpo", "per_device_train_batch_size": 8},
        ),
        (["compute.micro_batch=4", "clip=off_large_batch"], {"gradient_accumulation_steps": 32}),
        (["estimator.entropy_bonus=0.1"], {"entropy_coef": 0.0}),  # the bonus is ours
        (["clip=off_policy_gradient", "estimator.kl=0.1"], {"beta": 0.1, "use_bias_correction_kl": False}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_estimators_and_clips_as_trl_takes_them(tmp_path: Path, lines: list[str], stated: dict[str, object]) -> None:
    args = config(tmp_path, *lines)
    assert {name: getattr(args, name) for name in stated} == stated
