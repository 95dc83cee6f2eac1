"""Training prompts found in benchmarks, exactly, nearly and by a run of words."""

import pytest

from rlvr_sweep.data.overlap import overlap, refuse
from rlvr_sweep.errors import UserError

LONG = "A train leaves the station at noon with nineteen wagons and travels north at forty miles an hour until night"
PHRASE = "where m and n are relatively prime positive integers what is the sum m plus n of the two"


def counts(train, bench, **more):
    found = overlap(train, {"b": bench}, **more)["b"]
    return found.exact, found.near, found.ngram


def test_case_space_and_delimiters_do_not_hide_a_copy():
    assert counts(["what IS  $2+3$ ?"], ["What is \\(2 + 3\\)?"]) == (1, 1, 1)


def test_short_prompts_that_differ_in_a_sign_are_not_the_same():
    assert counts(["What is 2*3?"], ["What is 2+3?"]) == (0, 0, 0)


def test_a_reworded_end_is_near_and_a_set_phrase_only_shares_a_run():
    assert counts([LONG + " falls in June"], [LONG + " comes"]) == (0, 1, 1)
    one = " ".join(f"alpha{i}" for i in range(30))
    other = " ".join(f"beta{i}" for i in range(30))
    assert counts([f"{one} {PHRASE}"], [f"{other} {PHRASE}"]) == (0, 0, 1)


def test_twelve_shared_words_are_none():
    shared = " ".join(f"w{i}" for i in range(12))
    assert counts([f"a {shared} b"], [f"c {shared} d"]) == (0, 0, 0)
    assert counts([f"a {shared} b"], [f"c {shared} d"], n=12) == (0, 0, 1)


def test_a_benchmark_prompt_counts_once_and_its_best_example_is_shown():
    found = overlap([LONG + " falls", LONG, LONG], {"b": ["Unlike?", LONG], "none": ["Unlike?"]})
    assert (found["b"].prompts, found["b"].exact, found["b"].ngram) == (2, 1, 1)
    [example] = found["b"].examples
    assert (example.benchmark, example.train, example.exact, example.share) == (1, 1, True, 1.0)
    assert found["none"].ngram == 0 and not found["none"].examples


def test_refuse_names_the_benchmark():
    refuse(overlap(["Unlike?"], {"b": [LONG]}))
    with pytest.raises(UserError, match=r"1 of 1 in b \(1 exactly\)"):
        refuse(overlap([LONG], {"b": [LONG]}))
