"""A knob that the chosen estimator does not have is refused, with what to write; what it has is in the identity."""

import pytest

from rlvr_sweep.config import rules
from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.config.rules import arm
from rlvr_sweep.train import advantages


@pytest.mark.parametrize(
    ("lines", "key", "remedy"),
    [
        (["estimator.loss=micro_batch"], "estimator.loss_batch", "estimator.loss_batch=4"),
        (["estimator.loss_batch=4"], "estimator.loss_batch", "estimator.loss=micro_batch"),
        (["estimator=spurious_rewards", "compute.micro_batch=2"], "compute.micro_batch", "compute.micro_batch=4"),
        (["estimator=spurious_rewards", "estimator.loss_batch=5"], "estimator.loss_batch", "write 4 or 8"),
        (["estimator=nsr", "estimator.scale=group"], "estimator.scale", "estimator.scale=none"),
        (["estimator=nsr", "estimator.psr_weight=0.5"], "estimator.psr_weight", "estimator=w_reinforce"),
        (["estimator=dr_grpo", "estimator.std_epsilon=1e-6"], "estimator.std_epsilon", "estimator.scale=group"),
        (
            ["estimator.max_generation_batches=3"],
            "estimator.max_generation_batches",
            "estimator.dynamic_sampling=true",
        ),
        (["estimator=entropy_min", "reward=random"], "reward", "reward=ground_truth"),
        (
            ["estimator=entropy_min", "estimator.dynamic_sampling=true"],
            "estimator.dynamic_sampling",
            "estimator.dynamic_sampling=false",
        ),
        (["estimator=entropy_min", "algo.votes_per_prompt=16"], "algo.votes_per_prompt", "algo.votes_per_prompt=null"),
        (["data=deepscaler", "data.path=mine.jsonl"], "data.path", "write data=jsonl data.path=mine.jsonl, or leave"),
        (["clip.dual=1.1"], "clip.dual", "clip.dual=10"),
        (["clip.epsilon_low=1e6", "clip.epsilon_high=1e6"], "clip.epsilon_low", "clip=off_epsilon"),
        (["algo.warmup_updates=9"], "algo.warmup_updates", "algo.schedule=constant_with_warmup, or algo.warmup"),
        (["algo.votes_per_prompt=16"], "algo.votes_per_prompt", "reward=majority_online or algo.votes_per_prompt=null"),
        (["algo.votes_per_prompt=8", "reward=majority_online"], "algo.votes_per_prompt", "write 16, or null"),
        (
            ["algo.updates_per_rollout=1", "compute.ranks=8"],
            "algo.updates_per_rollout",
            "write 2, 4, 8 or 16, or clip=off_large_batch",
        ),
        (  # an update has at least one micro-batch of 4
            ["algo.updates_per_rollout=1", "compute.ranks=8", "estimator=spurious_rewards"],
            "algo.updates_per_rollout",
            "write 2 or 4, or clip=off_large_batch",
        ),
        (["algo.updates_per_rollout=1", "compute.ranks=3"], "algo.prompts_per_rollout", "write 15 or 18"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_says_what_to_write(lines: list[str], key: str, remedy: str) -> None:
    [fault] = compose(lines, multirun=False).faults
    assert fault.startswith(f"{key}: ")
    assert remedy in fault
    assert "\n" not in fault


def ident(*lines: str) -> str:
    return compose_or_refuse(list(lines), multirun=False)[0].cell_id


@pytest.mark.parametrize(
    "line",
    [
        "estimator.whiten=true",
        "estimator.entropy_bonus=0.001",
        "estimator.std_epsilon=1e-6",
        "estimator.dynamic_sampling=true",
        "estimator.advantage=nsr_masked",
        "clip.dual=10",
        "clip=off_policy_gradient",
        "clip=off_logprob",
        "algo.votes_per_prompt=16",
    ],
)
def test_what_changes_the_update_is_in_the_identity(line: str) -> None:
    assert ident(line, "reward=majority_online") != ident("reward=majority_online")


def test_what_an_off_arm_does_not_use_is_not() -> None:
    for arm_name in ("off_epsilon", "off_policy_gradient", "off_logprob"):
        assert ident(f"clip={arm_name}", "+clip.dual=10", "+clip.epsilon_low=0.1") == ident(f"clip={arm_name}")


def test_arms_are_matched_on_prompts_seen() -> None:
    """As many rollouts of a large batch, as many updates of a small rollout: both sample 20 x 16 prompts."""
    for name, same in (("off_large_batch", "rollouts"), ("off_small_rollout", "updates")):
        [cell] = compose_or_refuse([f"clip={name}", "clip.match=prompts"], multirun=False)
        batch = arm(cell.cell)
        assert batch.rollouts * batch.prompts == 20 * 16
        assert cell.cell_id == ident(f"clip={name}", f"clip.match={same}")


def test_a_pass_holds_whole_batches_of_the_loss() -> None:
    for most, passes in ((4, (4, 8)), (8, (8, 4)), (6, (4, 8))):
        [cell] = compose_or_refuse(["estimator=spurious_rewards", f"compute.micro_batch={most}"], multirun=False)
        assert (arm(cell.cell).micro_batch, arm(cell.cell).gradient_accumulation_steps) == passes
        assert cell.cell_id == ident("estimator=spurious_rewards")


@pytest.mark.parametrize("name", ["nsr", "psr"])
def test_a_departure_from_the_released_code_is_said(name: str) -> None:
    [cell] = compose_or_refuse([f"estimator={name}"], multirun=False)
    assert any("released code" in line for line in cell.cell.deviations)


def test_the_rules_know_each_advantage_of_right_and_wrong() -> None:
    assert (set(rules.RAW), set(rules.MASKED)) == (set(advantages.RAW), set(advantages.MASKED))
