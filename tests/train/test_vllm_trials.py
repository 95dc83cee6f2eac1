"""The trials of vLLM, at tiny size with Hugging Face in its place; what they compute of known numbers."""

import json
import math
from pathlib import Path

import pytest

from rlvr_sweep.train.generation import Sample
from tests.trials import mismatch, seeds


def test_the_distribution_of_a_known_difference() -> None:
    sampled = [[-2.0] * 4, [-1.0] * 2]
    trained = [[-1.9, -2.1, -1.7, -2.0], [-1.3, -1.0]]
    found = mismatch.distribution(sampled, trained, lengths=(2, 4, 8))
    assert found["tokens"] == 6 and found["mean_abs"] == pytest.approx(0.8 / 6) and found["kl"] == pytest.approx(0.0)
    assert found["clipped"] == pytest.approx(2 / 6) and found["max_abs"] == pytest.approx(0.3)
    assert list(found["sequence"]) == ["2", "4"]  # no completion has 8
    assert found["sequence"]["2"]["mean"] == pytest.approx((1 + math.exp(-0.3)) / 2)
    assert found["sequence"]["4"] | {"ratio": None} == {
        "completions": 1,
        "ratio": None,
        "mean": pytest.approx(math.exp(0.3)),
        "std_of_log": 0.0,
        "beyond_3": 0.0,
    }


def test_where_completions_part() -> None:
    one = [Sample([1, 2, 3, 4], False), Sample([5], False)]
    found = seeds.agreement(one, [Sample([1, 2, 9, 4], False), Sample([5], False)])
    assert found == {"completions": 2, "same": 1, "mean share before they part": 0.5}


def test_the_mismatch_trial_at_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert mismatch.main([str(tmp_path), "--tiny"]) == 0
    rows = json.loads((tmp_path / "mismatch.json").read_text())
    assert [(row["weights"], row["temperature"]) for row in rows] == [
        (weights, heat) for weights in ("float32", "bfloat16") for heat in (1.0, 0.2)
    ]
    for row in rows:
        assert row["tokens"] == 8 * 64 and list(row["sequence"]) == ["16", "32", "64"]
        assert 0 < row["mean_abs"] < 0.1  # bfloat16 against float32, of the same tokens
    assert rows[0]["logprob"] < rows[1]["logprob"]  # a lower temperature is surer


def test_the_seeds_trial_at_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert seeds.main([str(tmp_path), "--tiny"]) == 0
    twice, half, two = json.loads((tmp_path / "seeds.json").read_text())
    assert twice["same"] == 16 and half["same"] == 8 and two["same"] == 0
