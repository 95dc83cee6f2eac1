"""`plan` goes by what `bench` measured where no cell like a new one has finished, and says so."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.__main__ import main
from rlvr_sweep.cell_dir import index
from rlvr_sweep.config.compose import Composed, compose_or_refuse
from rlvr_sweep.config.rules import arm
from rlvr_sweep.shapes.memory import sizes_of
from rlvr_sweep.sweep import calibration
from rlvr_sweep.sweep.cost import Cost, cost

LINES = ("model=shape/qwen2_5_7b", "data=lab/add", "eval=none", "compute=zero2_x4", "compute.backend=vllm")
LINES += ("compute.checkpoint_every=0", "algo.rollouts=100", "algo.max_completion_tokens=3072")


@cache
def composed(*more: str) -> Composed:
    return compose_or_refuse([*LINES, *more], multirun=False)[0]


def document(**changes: Any) -> dict[str, Any]:
    """Of that cell on four H200s: 36 s a rollout, 100 s to start."""
    cell = composed().cell
    seconds = {"generate": 10.0, "sync": 2.0, "score": 1.0, "old_logprobs": 3.0, "update": 19.0, "rest": 1.0}
    measured = {"completion_tokens": 800.0, "prompt_tokens": 200.0, "seconds": seconds}
    measured |= {"checkpoint": None, "startup": 100.0}
    made = {
        "format": 1,
        "name": "seven",
        "machine": {"device": "NVIDIA H200", "count": 4, "unit": "GPU"},
        "parameters": sizes_of(cell).parameters,
        "setting": calibration.setting(cell),
        "work": calibration.work(cell),
        "cell": calibration.manner(cell),
        "measured": measured,
    }
    return made | changes


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder, and no shipped calibration."""
    monkeypatch.setattr(calibration, "launch_dir", lambda: tmp_path / "launch")
    (tmp_path / "runs" / calibration.OWN).mkdir(parents=True)
    return tmp_path / "runs"


def keep(runs: Path, made: dict[str, Any]) -> None:
    (runs / calibration.OWN / f"{made['name']}.json").write_text(json.dumps(made))


def of(runs: Path, *more: str, has_gpus: bool = False) -> Cost:
    return cost([(composed(f"runs={runs}", *more), 1.0)], index(runs), has_gpus=has_gpus)


def test_a_cell_like_it_takes_its_rollouts_as_long(runs: Path) -> None:
    keep(runs, document())
    found = of(runs)
    assert found.hours("GPU") == pytest.approx(4 * (100 + 100 * 36) / 3600)
    assert (found.hours("core"), found.known_for, found.unknown, found.disk_bytes) == (None, 1, None, None)
    assert found.lines() == [
        "time: about 4.1 GPU-hours for 1 cell",
        "basis: bench seven on 4 x NVIDIA H200, an estimate for completions of 800 tokens, without evaluations, "
        "62 min each",
    ]
    assert found.as_json()["basis"] == found.basis


def test_batches_and_lengths_are_scaled(runs: Path) -> None:
    one = calibration.Calibration.of(document(machine={"device": "x86_64", "count": 4, "unit": "core"}))
    assert one.rollout_seconds(composed().cell) == pytest.approx(36)
    twice = composed("algo.prompts_per_rollout=32").cell
    assert one.rollout_seconds(twice) == pytest.approx(2 * 36 - 2)  # the weights are pushed once
    short = composed("algo.max_completion_tokens=400").cell
    assert one.rollout_seconds(short) == pytest.approx(10 / 2 + 2 + 1 + (3 + 19) * 600 / 1000 + 1)
    votes = composed("algo.votes_per_prompt=16", "reward=majority_online").cell
    assert one.rollout_seconds(votes) == pytest.approx(10 * 2 + 2 + 1 * 2 + 3 + 19 + 1 * 2)
    saved = document()
    saved["measured"] |= {"checkpoint": 50.0}
    often = composed("compute.checkpoint_every=10").cell
    assert calibration.Calibration.of(saved).seconds(often) == pytest.approx(100 + 100 * 36 + 10 * 50)


def generating(*lines: str) -> float:
    """Seconds of a rollout on four H200s beyond those of what grows with the completions alone; 10 as measured."""
    cell = composed(*lines).cell
    times = calibration.work(cell)["sampled"] / calibration.work(composed().cell)["sampled"]
    return calibration.Calibration.of(document()).rollout_seconds(cell) - 2 - times * 24


def test_a_gpu_samples_more_at_once_in_little_more_time(runs: Path) -> None:
    """Seen: 16.4 s for 128 completions a GPU, 19.1 s for 256."""
    assert generating() == pytest.approx(10)
    assert 10.1 < generating("algo.prompts_per_rollout=32") < 13
    assert 8 < generating("algo.prompts_per_rollout=8", "compute.micro_batch=2") < 9.9


def test_hugging_face_takes_a_batch_after_the_other(runs: Path) -> None:
    cell = composed("compute.backend=hf", "compute.generate_batch=16").cell
    made = document(setting=calibration.setting(cell), cell=calibration.manner(cell))
    one, twice = calibration.Calibration.of(made), composed("compute.backend=hf", "compute.generate_batch=8").cell
    assert one.rollout_seconds(cell) == pytest.approx(36)
    assert 36 + 5 < one.rollout_seconds(twice) < 36 + 10  # two calls, each nearly as long


def test_the_published_model_of_that_size_is_like_its_shape(runs: Path) -> None:
    keep(runs, document())
    assert of(runs, "model=qwen2.5_math_7b").known_for == 1


@pytest.mark.parametrize(
    "line",
    ["compute=zero3_x4", "compute.backend=hf", "model=shape/olmo2_7b", "model.lora={rank: 16}"],
)
def test_another_model_or_split_is_not_like_it(runs: Path, line: str) -> None:
    keep(runs, document())
    found = of(runs, line, *(["compute.backend=vllm"] if line.startswith("compute=") else []))
    assert (found.known_for, found.hours("GPU"), found.basis) == (0, None, None)
    assert found.lines()[0].startswith("time and disk: unknown (no finished cell with the same model")


def test_more_gpus_are_scaled_to_where_none_of_as_many_was_measured(runs: Path) -> None:
    keep(runs, document())
    more = ("compute=zero2_x8", "compute.backend=vllm", "compute.checkpoint_every=0")
    found = of(runs, *more)
    half = generating("algo.prompts_per_rollout=8", "compute.micro_batch=2")  # on each GPU
    assert found.hours("GPU") == pytest.approx(8 * (100 + 100 * (half + 24 / 2 + 2)) / 3600)
    assert "on 4 x NVIDIA H200, scaled to 8, an estimate" in (found.basis or "")
    own = document(name="eight", setting=calibration.setting(composed(*more).cell))
    keep(runs, own | {"machine": {"device": "NVIDIA H200", "count": 8, "unit": "GPU"}})
    assert "bench eight on 8 x NVIDIA H200, an estimate" in (of(runs, *more).basis or "")
    assert "bench seven on 4 x NVIDIA H200, an estimate" in (of(runs).basis or "")


def test_as_many_gpus_with_hardly_any_batch_are_less_like_it_than_half_of_them(runs: Path) -> None:
    more = ("compute=zero2_x8", "compute.backend=vllm")
    keep(runs, document())
    eight = document(name="eight", setting=calibration.setting(composed(*more).cell))
    for part, by in ((32, "seven"), (2, "eight")):
        keep(runs, eight | {"work": eight["work"] | {"sampled": eight["work"]["sampled"] // part}})
        assert f"bench {by} on" in (of(runs, *more).basis or "")


def test_of_several_the_most_similar_counts(runs: Path) -> None:
    small = document(name="small")
    small["work"] = {name: size // 4 for name, size in small["work"].items()}
    keep(runs, small)
    keep(runs, document())
    assert "bench seven" in (of(runs).basis or "")
    assert "bench small" in (of(runs, "algo.prompts_per_rollout=4", "compute.micro_batch=2").basis or "")


def test_half_the_batch_in_passes_like_its_own_is_no_less_like_it_than_as_many_in_others(runs: Path) -> None:
    keep(runs, document())
    eight = composed("compute.micro_batch=8", "algo.prompts_per_rollout=8", "algo.updates_per_rollout=2").cell
    keep(runs, document(name="eight", cell=calibration.manner(eight), work=calibration.work(eight)))
    assert "bench eight on 4 x NVIDIA H200, an estimate" in (of(runs, "compute.micro_batch=8").basis or "")
    assert "bench seven on 4 x NVIDIA H200, an estimate" in (of(runs).basis or "")


def test_a_pass_without_a_limit_is_a_whole_update(runs: Path) -> None:
    keep(runs, document())
    whole = composed("compute.micro_batch=null").cell
    keep(runs, document(name="whole", cell=calibration.manner(whole), work=calibration.work(whole)))
    size = arm(whole).micro_batch
    assert size == 8
    assert "bench whole" in (of(runs, f"compute.micro_batch={size}").basis or "")
    assert "bench whole" in (of(runs, "compute.micro_batch=null").basis or "")
    assert "bench seven" in (of(runs).basis or "")


@pytest.mark.parametrize(
    ("line", "differs"),
    [
        ("compute.vllm_sleep=false", "vllm_sleep true (here false)"),
        ("compute.micro_batch=1", "micro_batch 4 (here 1)"),
        ("compute.liger=false", "liger null (here false)"),
        ("model.attention=eager", 'attention "sdpa" (here "eager")'),
        ("estimator.kl=0.1", "kl null (here 0.1)"),
        ("estimator.rollout_correction=token_truncate", 'rollout_correction null (here "token_truncate")'),
    ],
)
def test_of_one_size_that_made_alike_counts_and_what_differs_is_said(runs: Path, line: str, differs: str) -> None:
    keep(runs, document())
    assert f"on 4 x NVIDIA H200, measured with {differs}, an estimate" in (of(runs, line).basis or "")
    keep(runs, document(name="xalike", cell=calibration.manner(composed(line).cell)))
    assert "bench xalike on 4 x NVIDIA H200, an estimate" in (of(runs, line).basis or "")
    assert "bench seven on 4 x NVIDIA H200, an estimate" in (of(runs).basis or "")


def test_of_two_alike_that_counts_which_writes_checkpoints_as_the_cell_does(runs: Path) -> None:
    saved = document()["measured"] | {"checkpoint": 50.0}
    keep(runs, document(name="b, without"))
    for name in ("a, with", "c, with"):
        keep(runs, document(name=name, measured=saved))
    assert "bench a, with on 4 x NVIDIA H200, an estimate" in (of(runs, "compute.checkpoint_every=10").basis or "")
    assert "bench b, without on 4 x NVIDIA H200, an estimate" in (of(runs).basis or "")


def test_of_two_alike_that_counts_which_was_cut_where_the_cell_is(runs: Path) -> None:
    keep(runs, document(name="a, longer"))
    keep(runs, document(name="b, as long") | {"work": document()["work"] | {"max_completion_tokens": 1536}})
    assert "bench b, as long on" in (of(runs, "algo.max_completion_tokens=1536").basis or "")
    assert "bench a, longer on" in (of(runs, "algo.max_completion_tokens=3072").basis or "")


def test_what_generates_by_hugging_face_does_not_ask_for_vllms_settings() -> None:
    one = calibration.Calibration.of(document())
    cell = composed("compute.backend=hf", "compute.vllm_sleep=false", "compute.generate_batch=16").cell
    assert one.unlike(cell) == ["generate_batch 128 (here 16)"]


def test_ranks_that_talk_over_a_network_are_told() -> None:
    cell = composed("compute=zero2_2x8", "compute.backend=vllm", "algo.prompts_per_rollout=32").cell
    assert "measured with nodes null (here 2), scaled to 16, an " in calibration.Calibration.of(document()).basis(cell)


def test_auto_is_a_gpu_where_there_is_one(
    runs: Path, capsys: pytest.CaptureFixture[str], with_gpus: Callable[..., None]
) -> None:
    """A lab cell measured on a GPU says nothing of cores, nor the other way round."""
    lab = ("model=lab/qwen_math", "compute=auto", "compute.backend=hf", "algo.max_completion_tokens=64")
    cell = composed(*lab, "compute=gpu").cell
    made = document(machine={"device": "NVIDIA H200", "count": 1, "unit": "GPU"}, cell=calibration.manner(cell))
    made |= {"parameters": sizes_of(cell).parameters, "setting": calibration.setting(cell)}
    keep(runs, made | {"work": calibration.work(cell)})
    found = of(runs, *lab, has_gpus=True)
    assert found.hours("GPU") and (found.basis or "").split(", ")[-2:-1] == ["each alone on its GPU"]
    assert of(runs, *lab).known_for == of(runs, *lab, "compute=cpu", has_gpus=True).known_for == 0
    assert "alone" not in (of(runs, *lab, "compute.share=1", has_gpus=True).basis or "")
    words = ["plan", *LINES, *lab, f"runs={runs}"]
    assert main(words) == 0 and "time and disk: unknown" in capsys.readouterr().out
    with_gpus(1)
    assert main(words) == 0 and " GPU-hours for 1 cell\n" in capsys.readouterr().out


BROKEN = [document(setting=None), document(cell={}), document(work={}), {"format": 99}]
NO_RANKS = {key: value for key, value in document()["setting"].items() if key != "ranks"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", *map(json.dumps, [*BROKEN, document(setting=NO_RANKS)])])
def test_a_file_that_is_none_is_no_basis(runs: Path, text: str) -> None:
    (runs / calibration.OWN / "broken.json").write_text(text)
    assert of(runs).known_for == 0


def test_what_is_shipped_can_be_read() -> None:
    folder = calibration.launch_dir() / "calibration"
    assert len(calibration.read([folder])) == len(list(folder.glob("*.json")))


def test_trials_lie_beside_and_say_how_they_were_made() -> None:
    found = [json.loads(file.read_text()) for file in (calibration.launch_dir() / "calibration").glob("*/*.json")]
    assert found
    for trial in found:
        assert trial["machine"]["device"] == "NVIDIA H200" and trial["versions"]["torch"] and trial["command"]
        with pytest.raises(KeyError):  # none that `plan` could go by
            calibration.Calibration.of(trial)
