"""The sequence of a run's visits: epochs, seams, copies and seeds."""

from collections import Counter

import pytest

from rlvr_sweep.data.order import order
from rlvr_sweep.errors import UserError

IDS = [f"row{i}" for i in range(10)]


def rollouts(visits, size):
    return [visits[start : start + size] for start in range(0, len(visits), size)]


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10])
def test_epochs_are_permutations_and_no_rollout_holds_a_row_twice(size):
    visits = order(IDS, rollouts=30, prompts=size, seed=0, repeat=False)
    assert len(visits) == 30 * size
    for rollout in rollouts(visits, size):
        assert len({row for row, _ in rollout}) == size
    counts = Counter(row for row, _ in visits)
    assert max(counts.values()) - min(counts[i] for i in range(10)) <= 1, "no row is left out at the seams"
    assert all(IDS[row] == visit.split("#")[0] for row, visit in visits)
    assert len({visit for _, visit in visits}) == len(visits)


def test_epochs_differ_and_so_do_seeds_but_a_run_is_always_the_same():
    def rows(**more):
        return [row for row, _ in order(IDS, **({"rollouts": 2, "prompts": 10, "seed": 0, "repeat": False} | more))]

    assert rows() == rows()
    assert rows()[:10] != rows()[10:]
    assert rows() != rows(seed=1)
    assert rows(rollouts=5)[:20] == rows(), "a longer run begins with the shorter one"


def test_the_place_of_a_row_does_not_matter():
    one = [visit for _, visit in order(IDS, rollouts=3, prompts=4, seed=5, repeat=False)]
    two = [visit for _, visit in order(IDS[::-1], rollouts=3, prompts=4, seed=5, repeat=False)]
    assert one == two


def test_the_order_is_pinned():
    """Another order is another run under the same cell id: change it only on purpose."""
    visits = [visit for _, visit in order(["a", "b", "c"], rollouts=3, prompts=2, seed=0, repeat=False)]
    assert visits == ["a", "c", "b", "c#1", "b#1", "a#1"]


def test_one_shot_copies_its_row_with_distinct_ids():
    visits = order(["pi1"], rollouts=2, prompts=3, seed=0, repeat=True)
    assert visits == [(0, "pi1"), (0, "pi1#1"), (0, "pi1#2"), (0, "pi1#3"), (0, "pi1#4"), (0, "pi1#5")]


def test_few_rows_share_a_rollout_evenly():
    for rollout in rollouts(order(IDS[:3], rollouts=20, prompts=8, seed=1, repeat=True), 8):
        assert sorted(Counter(row for row, _ in rollout).values()) == [2, 3, 3]


def test_too_few_rows_are_refused_with_what_to_write():
    with pytest.raises(UserError, match=r"algo.prompts_per_rollout=10 or fewer, or data.repeat=true"):
        order(IDS, rollouts=1, prompts=11, seed=0, repeat=False)


def test_ids_that_look_like_copies_are_refused():
    with pytest.raises(UserError, match="without '#'"):
        order(["a", "a#1"], rollouts=2, prompts=2, seed=0, repeat=False)
