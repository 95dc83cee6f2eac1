"""Votes: what is one answer, who wins a tie, and what an empty answer counts for."""

import pytest

from rlvr_sweep.grading.pool import Grader
from rlvr_sweep.labels.votes import count


def test_exact_strings_are_counted_as_they_are_and_ties_go_to_the_first_seen() -> None:
    votes = count(["5.0", "7", "5", "7", None, "5", "  ", ""], how="exact")
    assert votes.ranking == (("7", 2), ("5", 2), ("5.0", 1))
    assert (votes.samples, votes.answered) == (8, 5)
    assert count(["b", "a"], how="exact").pick(1) == ("b", 1)


def test_equal_answers_vote_together_and_are_shown_as_mostly_written() -> None:
    with Grader(workers=1) as grader:
        votes = count(["5.0", "7", "5", "7", None, "5"], how="equivalence", classes=grader.equivalence_classes)
    assert votes.ranking == (("5", 3), ("7", 2))


def test_a_tie_of_classes_goes_to_the_first_seen() -> None:
    votes = count(["7", "5", "5.0", "7.0"], how="equivalence", classes=lambda answers: [0, 1, 1, 0])
    assert votes.pick(1) == ("7", 2)


def test_ranks_count_from_either_end() -> None:
    votes = count(["a", "a", "a", "b", "b", "c"], how="exact")
    assert [votes.pick(rank)[0] for rank in (1, 2, 3, -1, -3)] == ["a", "b", "c", "c", "a"]
    assert votes.pick(4) == votes.pick(-4) == ("", 0)
    with pytest.raises(ValueError, match="rank 0"):
        votes.pick(0)


def test_no_answers_elect_nobody() -> None:
    votes = count([None, "", " "], how="exact")
    assert votes.pick(1) == ("", 0) and votes.answered == 0
    assert count([None], how="equivalence", classes=lambda answers: [None]).pick(1) == ("", 0)
