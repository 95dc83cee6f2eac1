"""Rewards made of rewards."""

from rlvr_sweep.rewards import parse, score

NO_PYTHON = {"name": "inverse", "of": "python"}


def test_inverse(group) -> None:
    assert score(parse(NO_PYTHON), group(texts=["python", "words"])) == [0.0, 1.0]


def test_the_papers_compound_is_right_and_without_python(group) -> None:
    made = group(texts=["python", "words", "python", "words"], answers=["5", "5", "6", "6"])
    assert score(parse({"name": "all_of", "of": ["ground_truth", NO_PYTHON]}), made) == [0.0, 1.0, 0.0, 0.0]


def test_any_of(group) -> None:
    made = group(texts=["python", "words", "python", "words"], answers=["5", "5", "6", "6"])
    assert score(parse({"name": "any_of", "of": ["ground_truth", "python"]}), made) == [1.0, 1.0, 1.0, 0.0]


def test_weights_are_used_as_written(group) -> None:
    spec = {
        "name": "weighted",
        "of": [{"reward": "ground_truth", "weight": 1}, {"reward": "python", "weight": -0.25}],
    }
    made = group(texts=["python", "words", "python", "words"], answers=["5", "5", "6", "6"])
    assert score(parse(spec), made) == [0.75, 1.0, -0.25, 0.0]


def test_all_of_takes_any_value_but_zero_for_true(group) -> None:
    half = {"name": "weighted", "of": [{"reward": "python", "weight": 0.5}]}
    assert score(parse({"name": "all_of", "of": [half, "python"]}), group(texts=["python", "words"])) == [1.0, 0.0]


def test_an_unscorable_part_makes_the_whole_unscorable(group) -> None:
    made = group(texts=["words", "python"], answers=["slow", "5"])
    for spec, known in [
        ({"name": "inverse", "of": "ground_truth"}, 0.0),
        ({"name": "all_of", "of": ["python", "ground_truth"]}, 1.0),
        ({"name": "any_of", "of": ["ground_truth", NO_PYTHON]}, 1.0),
        ({"name": "weighted", "of": [{"reward": "ground_truth", "weight": 0}]}, 0.0),
    ]:
        assert score(parse(spec), made) == [None, known], spec


def test_compositions_nest(group) -> None:
    spec = {"name": "inverse", "of": {"name": "inverse", "of": {"name": "any_of", "of": ["python", "format"]}}}
    assert score(parse(spec), group(texts=["python", "words"])) == [1.0, 0.0]
