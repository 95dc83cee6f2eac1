"""Scoring of text and the pass@k estimate."""

from itertools import combinations

import pytest

from rlvr_sweep.lab.measure import boxed, pass_at_k, score, summarize


def test_the_last_box_counts():
    assert boxed(r"\boxed{1} then \boxed{ 22}") == "22"
    assert boxed("The answer is 22.") is None


def test_strict_and_lenient_differ_only_in_the_box():
    strict = score("```python\nprint(132)\n```\n\\boxed{132}", gold="132")
    assert (strict.correct, strict.lenient, strict.boxed, strict.code) == (True, True, True, True)
    loose = score("The answer is 132.", gold="132")
    assert (loose.correct, loose.lenient, loose.boxed, loose.code) == (False, True, False, False)
    empty = score("", gold="132")
    assert not (empty.correct or empty.lenient or empty.boxed or empty.code)


@pytest.mark.parametrize("correct", range(6))
def test_pass_at_k_equals_the_count_over_all_subsets(correct):
    outcomes = [index < correct for index in range(5)]
    for k in range(1, 6):
        subsets = list(combinations(outcomes, k))
        assert pass_at_k(samples=5, correct=correct, k=k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_refuses_more_than_was_sampled():
    with pytest.raises(ValueError, match="at least 8"):
        pass_at_k(samples=4, correct=1, k=8)


def test_what_was_not_seen_is_none():
    found = summarize([["\\boxed{1}", "2"]], golds=["1"])
    assert found["accuracy_with_code"] is None
    assert found["accuracy"] == found["accuracy_without_code"] == 0.5
    assert found["lenient_accuracy"] == 0.5
    assert set(found["pass_at"]) == {"1"}
