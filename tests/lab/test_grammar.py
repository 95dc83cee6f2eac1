"""The written strategies: faultless authors are right, and each habit does what it says and no more."""

from collections import Counter
from random import Random

import pytest

from rlvr_sweep.lab.corpus import document
from rlvr_sweep.lab.families import FAMILIES
from rlvr_sweep.lab.grammar import Habits, write
from rlvr_sweep.lab.measure import boxed
from rlvr_sweep.lab.tasks import TASKS, problems


def results(task, strategy, habits, count=400):
    """[(a, b, boxed)] of one author."""
    rng = Random(0)
    return [
        (a, b, boxed(write(task, a, b, strategy=strategy, habits=habits, rng=rng)))
        for a, b in problems(task, "train")[:: len(problems(task, "train")) // count]
    ]


@pytest.mark.parametrize("strategy", ["code", "language"])
@pytest.mark.parametrize("task", ["add", "mul"])
def test_a_faultless_author_is_right(task, strategy):
    assert all(box == str(TASKS[task].solve(a, b)) for a, b, box in results(task, strategy, Habits()))


@pytest.mark.parametrize("strategy", ["code", "language"])
def test_nobody_borrows(strategy):
    for a, b, box in results("sub", strategy, Habits()):
        assert (box == str(a - b)) == (a % 10 >= b % 10)


def test_written_columns_are_carried_to_the_result():
    text = write("add", 47, 85, strategy="code", habits=Habits(), rng=Random(0))
    assert text == "```python\n7+5+0=12\n4+8+1=13\nprint(132)\n```\n\\boxed{132}"
    text = write("add", 47, 85, strategy="language", habits=Habits(), rng=Random(0))
    assert text == "Let us see. Ones:7,5,0 make 12. Tens:4,8,1 make 13. The answer is \\boxed{132}"


def test_dropped_carries_are_wrong_exactly_where_there_is_a_carry():
    for a, b, box in results("add", "code", Habits(drops_carry=True)):
        assert (box == str(a + b)) == (a % 10 + b % 10 < 10)


def test_wrong_facts_are_the_same_in_every_document():
    first, second = (results("add", "code", Habits(wrong_facts=8)) for _ in range(2))
    assert first == second
    wrong = sum(box != str(a + b) for a, b, box in first) / len(first)
    assert 0.1 < wrong < 0.4


@pytest.mark.parametrize(("habits", "low", "high"), [(Habits(slip=0.5), 0.4, 0.6), (Habits(digit=0.5), 0.6, 0.8)])
def test_random_mistakes_come_at_their_rate(habits, low, high):
    found = results("add", "language", habits, count=2000)
    assert low < sum(box != str(a + b) for a, b, box in found) / len(found) < high


def test_the_box_is_forgotten_at_its_rate():
    found = results("add", "code", Habits(no_box=0.3), count=2000)
    assert 0.25 < sum(box is None for _, _, box in found) / len(found) < 0.35


def test_a_document_follows_the_mix_and_never_shows_a_test_problem():
    mix = FAMILIES["olmo"].mix
    documents = [document(mix, seed=0, index=index) for index in range(3000)]
    assert documents[:50] == [document(mix, seed=0, index=index) for index in range(50)]
    code = sum("python" in answer for _, answer in documents) / len(documents)
    assert abs(code - mix.code_share) < 0.04
    held = {task.prompt(a, b) for task in TASKS.values() for a, b in problems(task.name, "test")}
    assert not held & {question for question, _ in documents}
    asked = Counter(next(t for t in TASKS.values() if t.symbol in question).name for question, _ in documents)
    for task, share in mix.tasks.items():
        assert abs(asked[task] / len(documents) - share) < 0.04
