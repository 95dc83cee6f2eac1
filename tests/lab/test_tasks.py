"""Lab problems: right answers, stable and disjoint splits, and mistakes told in one line."""

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.tasks import TASKS, problems, rows

SOLVE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_right_and_never_negative(task):
    for row in rows(task, split="train", count=300):
        expression = row["prompt"].removeprefix("What is ").removesuffix("?")
        symbol = next(sign for sign in SOLVE if sign in expression)
        a, b = map(int, expression.split(symbol))
        assert row["answer"] == str(SOLVE[symbol](a, b))
        assert not row["answer"].startswith("-")


@pytest.mark.parametrize("task", TASKS)
def test_splits_are_disjoint_and_one_in_ten_is_held_out(task):
    train, test = set(problems(task, "train")), set(problems(task, "test"))
    assert not train & test
    assert 0.08 < len(test) / len(train | test) < 0.12


def test_ids_are_unique_over_all_tasks_and_splits():
    ids = [
        row["id"]
        for task in TASKS
        for split in ("train", "test")
        for row in rows(task, split=split, count=len(problems(task, split)))
    ]
    assert len(ids) == len(set(ids))


def test_rows_are_stable():
    assert rows("add", split="train", count=3) == rows("add", split="train", count=50)[:3]
    assert rows("add", split="train", count=50, seed=1) != rows("add", split="train", count=50, seed=2)
    assert [row["id"] for row in rows("add", split="test", count=3)] == ["add-42-49", "add-90-48", "add-96-61"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task": "ad", "split": "train", "count": 1}, "did you mean 'add'"),
        ({"task": "add", "split": "tset", "count": 1}, "write train or test"),
        ({"task": "sub", "split": "test", "count": 10**6}, "write 1 to"),
        ({"task": "sub", "split": "test", "count": 0}, "write 1 to"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, said):
    with pytest.raises(UserError, match=said) as caught:
        rows(**arguments)
    assert "\n" not in str(caught.value)
