"""What estimator.rollout_correction does to an update, with a sampler whose log-probs are off by a known amount."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.train import trainer, worker
from rlvr_sweep.train.mismatch import mismatch
from tests.train.test_vllm_server import LINES, SERVER, stand_in
from tests.train.vllm_stand_in import StandIn, joined

__all__ = ["stand_in"]  # the fixture
SHORT = [*LINES, "algo.rollouts=1", "algo.max_completion_tokens=64", "clip=off_epsilon"]


def first_step(tmp_path: Path, name: str, *lines: str) -> dict[str, Any]:
    directory = CellDir.create(compose_or_refuse([*SHORT, f"runs={tmp_path / name}", *lines], multirun=False)[0])
    assert worker.train(directory, say=directory.status, is_main=True, began=0.0)
    return json.loads((directory.path / "metrics.jsonl").read_text().splitlines()[0])


def test_the_gradient_is_weighted_by_what_the_trainer_and_the_sampler_say(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", joined(stand_in))
    plain = first_step(tmp_path, "plain")
    assert not [key for key in plain if key.startswith("sampling/")]
    stand_in.shift = -0.1  # the trainer finds every token exp(0.1) times as likely as the sampler
    found = {}
    with stand_in.running() as url:
        lines = [line.format(url=url) for line in SERVER]
        for mode, most in (("token_truncate", 3.0), ("token_truncate", 1.05), ("token_mask", 1.05)):
            corrected = [f"estimator.rollout_correction={mode}", f"estimator.rollout_correction_max={most}"]
            found[mode, most] = first_step(tmp_path, f"{mode}-{most}", *lines, *corrected)
        corrected = ["estimator.rollout_correction=sequence_mask", "estimator.rollout_correction_max=40"]
        sequence = first_step(tmp_path, "sequence", *lines, *corrected)
    for (mode, most), row in found.items():
        weight = 0.0 if mode == "token_mask" else min(math.exp(0.1), most)
        for key, expected in {"": weight, "/min": weight, "/max": weight}.items():
            assert row[f"sampling/weight{key}"] == pytest.approx(expected, abs=1e-4)
        assert row["sampling/kl"] == pytest.approx(-0.1, abs=1e-4)
        assert row["sampling/logp_difference"] == pytest.approx(0.1, abs=1e-4)
        assert row["sampling/masked"] == (mode == "token_mask")
        assert row["grad_norm"] == pytest.approx(weight * plain["grad_norm"], rel=1e-3, abs=1e-9)
        assert row["accuracy/ground_truth"] == plain["accuracy/ground_truth"]
    # A completion of n tokens weighs exp(n / 10): with more than 36 it is beyond 40, and out.
    assert 0 < sequence["sampling/masked"] < 1 and 1 < sequence["sampling/weight/max"] <= 40


def test_with_one_update_a_rollout_the_ratio_is_1_even_where_old_log_probs_are_computed(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU two passes over the same weights differ, here by more than a clip allows."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", joined(stand_in))
    exact = trainer.token_log_probs

    def apart(*args: Any, **kwargs: Any) -> Any:
        logps, entropies = exact(*args, **kwargs)
        return (logps if torch.is_grad_enabled() else logps - 0.5), entropies

    monkeypatch.setattr(trainer, "token_log_probs", apart)
    with stand_in.running() as url:
        lines = [*(line.format(url=url) for line in SERVER), "estimator.rollout_correction=token_truncate"]
        found = {clip: first_step(tmp_path, clip, *lines, f"clip={clip}") for clip in ("on", "off_large_batch")}
    assert found["on"]["ratio/max"] > 1.2  # so the passes do differ
    row = found["off_large_batch"]
    assert (row["ratio/min"], row["ratio/max"], row["clip_ratio/region"]) == (1.0, 1.0, 0.0)
    assert row["grad_norm"] > 0


def test_tokens_that_the_sampler_could_not_score_are_left_out() -> None:
    alone: Any = SimpleNamespace(reduce=lambda value, how: value, gather=lambda value: value)
    nan = float("nan")
    output = {
        "completion_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
        "sampling_per_token_logps": torch.tensor([[-1.0, nan, -1.0], [-2.0, 0.0, 0.0]]),
        "old_per_token_logps": torch.tensor([[-1.5, -1.0, -1.0], [-1.0, -9.0, -9.0]]),
        "importance_sampling_ratio": torch.tensor([[0.5], [0.0]]),
    }
    found = mismatch(alone, output)
    assert found["sampling/kl"] == pytest.approx((0.5 + 0 - 1) / 3)
    assert found["sampling/logp_difference"] == pytest.approx(0.5) and found["sampling/logp_difference/max"] == 1.0
    assert found["sampling/weight"] == pytest.approx(1.5 / 4) and found["sampling/masked"] == 0.25
    assert (found["sampling/weight/min"], found["sampling/weight/max"]) == (0.0, 0.5)
    assert mismatch(alone, {"completion_mask": output["completion_mask"]}) == {}
