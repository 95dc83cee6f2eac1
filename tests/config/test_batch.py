"""The batch algebra: what divides, what it comes to, and that TRL agrees."""

import pytest

from rlvr_sweep.config.batch import divisors, faults, nearest, plan
from rlvr_sweep.config.compose import compose


def test_the_papers_batch_on_eight_gpus() -> None:
    batch = plan(prompts=64, completions=16, updates=8, rollouts=300, ranks=8, micro_batch=4)
    assert (batch.rollout_size, batch.train_batch, batch.optimizer_steps) == (1024, 128, 2400)
    assert (batch.steps_per_generation, batch.gradient_accumulation_steps) == (32, 4)


def test_one_update_a_rollout_accumulates_all_of_it() -> None:
    batch = plan(prompts=64, completions=16, updates=1, rollouts=10, ranks=8, micro_batch=4)
    assert batch.steps_per_generation == batch.gradient_accumulation_steps == 32


@pytest.mark.parametrize(
    ("most", "loss_batch", "found"),
    [(None, 1, 24), (8, 1, 8), (7, 1, 6), (1, 1, 1), (64, 1, 24), (None, 4, 24), (8, 4, 8), (11, 4, 8), (7, 4, 4)],
)
def test_a_pass_is_as_large_as_may_be_and_divides_an_update(most: int | None, loss_batch: int, found: int) -> None:
    """An update of 24 completions a rank."""
    batch = plan(prompts=12, completions=8, updates=2, rollouts=1, ranks=2, micro_batch=most, loss_batch=loss_batch)
    assert batch.micro_batch == found
    assert batch.micro_batch * batch.gradient_accumulation_steps * batch.ranks == batch.train_batch


@pytest.mark.parametrize(
    ("numbers", "key", "remedy"),
    [
        (
            {"prompts": 5, "completions": 8, "updates": 2, "ranks": 2},
            "algo.prompts_per_rollout",
            "4 or 6",
        ),
        (
            {"prompts": 4, "completions": 8, "updates": 3, "ranks": 1},
            "algo.updates_per_rollout",
            "2 or 4",
        ),
        ({"prompts": 4, "completions": 8, "updates": 2, "ranks": 1, "loss_batch": 5}, "estimator.loss_batch", "4 or 8"),
    ],
)
def test_what_does_not_divide_is_named_with_the_nearest_that_does(numbers: dict, key: str, remedy: str) -> None:
    [(found, text)] = faults(**numbers)
    assert found == key
    assert remedy in text


@pytest.mark.parametrize(
    ("numbers", "ranks"),
    [
        ({"prompts": 8, "completions": 32, "updates": 8, "loss_batch": 4}, 8),
        ({"prompts": 64, "completions": 16, "updates": 128, "loss_batch": 2}, 4),
        ({"prompts": 64, "completions": 8, "updates": 8, "loss_batch": 8}, 8),
    ],
)
def test_so_many_fewer_ranks_are_offered_as_leave_the_batches_alone(numbers: dict, ranks: int) -> None:
    [(_, text)] = faults(**numbers, ranks=16)
    assert text.endswith(f", or compute.ranks={ranks}")
    assert not faults(**numbers, ranks=ranks)


def test_where_no_ranks_help_none_are_offered() -> None:
    [(_, text)] = faults(prompts=4, completions=8, updates=3, ranks=2)
    assert "compute.ranks" not in text


@pytest.mark.parametrize(
    ("lines", "ranks"),
    [
        (["compute=gpu", "compute.ranks=6", "compute.nodes=2", "algo.prompts_per_rollout=9"], None),  # not 3
        (["compute=gpu", "compute.ranks=8", "compute.nodes=2", "algo.prompts_per_rollout=12"], 6),
        (["compute=zero2_x2", "algo.prompts_per_rollout=3"], None),  # not 1
        (["compute=gpu", "compute.ranks=2", "algo.prompts_per_rollout=3"], 1),
        (["compute=zero1_x4", "algo.prompts_per_rollout=6", "clip=off_small_rollout", "algo.updates_per_rollout=3"], 2),
        (
            ["compute=zero1_x4", "algo.prompts_per_rollout=3", "clip=off_small_rollout", "algo.updates_per_rollout=3"],
            None,
        ),
    ],
)
def test_no_ranks_are_offered_that_are_refused_themselves(lines: list[str], ranks: int | None) -> None:
    lines = ["algo.completions_per_prompt=16", "estimator.loss=micro_batch", "estimator.loss_batch=2", *lines]
    [fault] = compose(lines, multirun=False).faults
    assert fault.partition(", or compute.ranks=")[2] == ("" if ranks is None else str(ranks))
    assert ranks is None or not compose([*lines, f"compute.ranks={ranks}"], multirun=False).faults


def test_the_remedies_work() -> None:
    for updates in (2, 4):
        assert not faults(prompts=4, completions=8, updates=updates, ranks=1)


def test_a_plan_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="updates_per_rollout"):
        plan(prompts=4, completions=8, updates=3, rollouts=1, ranks=1, micro_batch=None)


def test_divisors_and_nearest() -> None:
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
    assert nearest(5, [1, 2, 4, 8]) == "4 or 8"
    assert nearest(9, [1, 2]) == "2"
