"""How far cells moved their models, and what the table makes of arms that moved differently."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlvr_sweep.analysis.displacement import by_arm, displacement, facts, main, matched
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from tests.report.cells import cell

BASE = model_dir("qwen")


def moved(target: Path, step: float) -> Path:
    """The lab model with one weight moved by `step`."""
    tensors = load_file(BASE / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] += step
    target.mkdir(parents=True)
    save_file(tensors, target / "model.safetensors")
    return target


def made(runs: Path, *, clip: str, seed: int, step: float, clipped: float | None) -> Path:
    path = cell(runs, seed=seed, before=0.4, after=0.8, code=(0.5, 0.5), data=f"lab/add-{clip}")
    document = json.loads((path / "cell.json").read_text())
    document["cell"]["model"]["path"] = "lab:qwen"
    document["cell"]["clip"] = {"name": clip}
    (path / "cell.json").write_text(json.dumps(document))
    fractions = {"clip_ratio/low": clipped, "clip_ratio/high": 0.0}
    rows = [json.loads(line) | fractions for line in (path / "metrics.jsonl").read_text().splitlines()]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    moved(path / "model", step)
    return path


def test_the_distance_is_euclidean_over_all_weights(tmp_path: Path) -> None:
    assert displacement(BASE, BASE) == 0
    assert displacement(BASE, moved(tmp_path / "one", -0.5)) == pytest.approx(0.5, rel=1e-5)
    save_file({"other": torch.zeros(1)}, tmp_path / "one" / "model.safetensors")
    with pytest.raises(UserError, match="not the same tensors"):
        displacement(BASE, tmp_path / "one")
    with pytest.raises(UserError, match="holds no weights"):
        displacement(BASE, tmp_path / "none")


def test_arms_by_how_far_they_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, step in ((0, 0.5), (1, 0.7)):
        made(tmp_path, clip="on", seed=seed, step=step, clipped=0.01)
        made(tmp_path, clip="off_epsilon", seed=seed, step=4 * step, clipped=0.0)
    first, last = by_arm([facts(path) for path in sorted(tmp_path.glob("*--*"))])
    assert (first["clip"], last["clip"], first["seeds"]) == ("on", "off_epsilon", 2)
    assert first["displacement"]["mean"] == pytest.approx(0.6, rel=1e-4)
    assert first["displacement"]["spread"] == pytest.approx(0.1 * 2**0.5, rel=1e-3)
    assert (first["clip_fraction"]["mean"], last["clip_fraction"]["mean"]) == (pytest.approx(0.01), 0.0)
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.index(" on ") < out.index(" off_epsilon ")
    assert "before training: accuracy " in out
    assert "off_epsilon at 0.0001 less on at 0.0001: accuracy 0.0 +- 0.0, " in out


def test_a_clip_fraction_that_was_not_recorded_is_none(tmp_path: Path) -> None:
    path = made(tmp_path, clip="off_epsilon", seed=0, step=0.5, clipped=None)
    assert facts(path)["clip_fraction"] is None


def arm(clip: str, rate: float, moved: float, accuracy: float, *, model: str = "m") -> dict:
    numbers = {key: {"mean": accuracy, "spread": 0.1} for key in ("accuracy", "code_frequency", "accuracy_with_code")}
    numbers |= {"displacement": {"mean": moved, "spread": 0.0}, "clip_fraction": {"mean": 0.0, "spread": 0.0}}
    return {"model": model, "clip": clip, "learning_rate": rate, "seeds": 4, **numbers}


def test_an_unclipped_arm_stands_against_the_clipped_one_that_moved_as_far() -> None:
    rows = [arm("on", 1, 0.5, 0.6), arm("on", 2, 1.0, 0.7), arm("off_epsilon", 1, 0.9, 0.3)]
    rows += [arm("off_epsilon", 1, 0.9, 0.3, model="without a clipped arm")]
    [pair] = matched(rows)
    assert (pair["on"]["learning_rate"], pair["off"]["clip"]) == (2, "off_epsilon")
    assert pair["displacement"]["mean"] == pytest.approx(-0.1)
    assert pair["accuracy"]["mean"] == pytest.approx(-0.4)
    assert pair["accuracy"]["spread"] == pytest.approx((2 * 0.1**2 / 4) ** 0.5)
    rows[2]["accuracy"] = {"mean": None, "spread": None}
    assert matched(rows)[0]["accuracy"] == {"mean": None, "spread": None}


def test_a_cell_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="first weights are on the Hub"):
        facts(cell(tmp_path / "hub"))
    with pytest.raises(UserError, match="only a finished cell"):
        facts(cell(tmp_path / "running", state="running", trained=2))
    with pytest.raises(UserError, match="none of these cells is done"):
        main([str(tmp_path / "running")])
