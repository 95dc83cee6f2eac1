"""Rewards that look at answers: ground truth, labels, votes; and the random one, which looks at nothing."""

import pytest

from rlvr_sweep.rewards import parse, score


def test_ground_truth_follows_the_verdict_and_passes_on_what_cannot_be_known(group) -> None:
    assert score(parse("ground_truth"), group(answers=["5", "6", None, "slow"])) == [1.0, 0.0, 0.0, None]


@pytest.mark.parametrize("name", ["majority_offline", "incorrect"])
def test_label_rewards_compare_with_the_label_not_the_gold_answer(group, name: str) -> None:
    assert score(parse(name), group(answers=["5", "7", None], label="7")) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", ["majority_offline", "incorrect"])
def test_without_a_label_nothing_is_rewarded_not_even_an_empty_answer(group, name: str) -> None:
    assert score(parse(name), group(answers=["5", "", None], label=None)) == [None, None, None]


@pytest.mark.parametrize("name", ["majority_offline", "incorrect"])
def test_an_empty_label_that_was_kept_rewards_holding_no_answer(group, name: str) -> None:
    assert score(parse(name), group(answers=["5", "", " ", None], label="")) == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["3", "4", "4", "4"], [0, 1, 1, 1]),
        (["1/2", "3", "3", "0.5", "1/2"], [1, 0, 0, 1, 1]),  # equal answers vote together
        (["4", "3", "3", "4"], [1, 0, 0, 1]),  # a tie: the first seen
        ([None, None, None, "8"], [0, 0, 0, 1]),  # no answer, no vote
        (["", "", " ", "8"], [0, 0, 0, 1]),  # nor has an empty box
        ([None, None], [0, 0]),
    ],
)
def test_majority_online(group, answers: list[str | None], expected: list[float]) -> None:
    assert score(parse("majority_online"), group(answers=answers, gold="99")) == expected


def test_random_is_a_function_of_seed_row_rollout_and_slot_only(group) -> None:
    params = parse("random")
    one = group(texts=["a"] * 64, row_id="r1")
    assert score(params, one) == score(params, group(texts=["b"] * 64, row_id="r1", answers=["5"] * 64, label="5"))
    others = [group(texts=["a"] * 64, **change) for change in ({"row_id": "r2"}, {"rollout": 2}, {"seed": 1})]
    assert len({tuple(score(params, g)) for g in [one, *others]}) == 4
    assert score(parse({"name": "random", "stream": 1}), one) != score(params, one)


def test_random_draws_do_not_change_between_versions(group) -> None:
    drawn = score(parse({"name": "random", "gamma": 0.5}), group(texts=["a"] * 12))
    assert drawn == [1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0]  # blake2b("0 reward q1 1 SLOT", joined by 0x1f)


@pytest.mark.parametrize("gamma", [0, 0.001, 0.3, 0.5, 0.7, 1])
def test_random_has_its_rate(group, gamma: float) -> None:
    draws = [
        value or 0.0
        for row in range(40)
        for value in score(parse({"name": "random", "gamma": gamma}), group(texts=["a"] * 100, row_id=f"r{row}"))
    ]
    assert abs(sum(draws) / 4000 - gamma) <= 4 * (gamma * (1 - gamma) / 4000) ** 0.5
