"""The memory estimate: its terms by hand for Qwen2.5-7B, what is refused, and what is offered instead."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlvr_sweep import devices
from rlvr_sweep.__main__ import main
from rlvr_sweep.config import rules
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes import memory as sizes
from rlvr_sweep.shapes.sizes import Sizes, Unknown
from rlvr_sweep.shapes.table import SHAPES
from rlvr_sweep.sweep import memory
from rlvr_sweep.sweep.presets import fitting, presets
from tests.conftest import H200

QWEN_7B = 7_615_616_512
LORA_16 = 40_370_176  # 28 layers of 16 x (3584 + 3584) x 2 + 16 x (3584 + 512) x 2 + 16 x (3584 + 18944) x 3


def cell(*lines: str, model: str = "shape/qwen2_5_7b") -> Cell:
    own = [f"model={model}", "algo=spurious_rewards", "tracking=off", "eval.batch=64", "compute.micro_batch=4"]
    return compose_or_refuse([*own, *lines], multirun=False)[0].cell


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("qwen2_5_1_5b", 1_543_714_304),
        ("qwen2_5_7b", QWEN_7B),
        ("llama3_2_3b", 3_212_749_824),
        ("llama3_1_8b", 8_030_261_248),
        ("olmo2_7b", 7_298_617_344),
    ],
)
def test_parameters_are_counted_from_the_config_alone(name: str, count: int) -> None:
    assert Sizes.of(SHAPES[name].config()).parameters == count


def test_the_terms_of_a_whole_7b_on_one_gpu() -> None:
    terms = sizes.estimate(cell("compute=gpu")).terms
    assert terms["weights"] == 4 * QWEN_7B  # float32, 30.5 GB
    assert terms["gradients"] == 4 * QWEN_7B
    assert terms["optimizer"] == 8 * QWEN_7B
    assert terms["autocast_weights"] == 2 * (QWEN_7B - 2 * 152_064 * 3584 - 3584)
    # 4 sequences of 1024 + 3072 tokens: each of 28 layers' float32 input, one layer's insides, the last norm.
    one_layer = 32 * 3584 + 4 * 512 + 8 * 18944
    assert terms["activations"] == 4 * 4096 * (28 * 3584 * 4 + one_layer + 4 * 3584)
    # 128 completions of 4096 tokens, 4 heads of 128 in 28 layers: keys and values in bfloat16.
    assert terms["kv_cache"] == 128 * 4096 * 28 * 4 * 128 * (2 + 2)
    assert "step_gradients" not in terms and "buckets" not in terms and "reference" not in terms


def test_the_cache_is_that_of_the_largest_generation() -> None:
    a_token = 28 * 4 * 128 * (2 + 2)
    few = ["compute=gpu", "compute.generate_batch=8"]
    assert sizes.estimate(cell(*few)).terms["kv_cache"] == 64 * 4096 * a_token  # an evaluation's batch
    assert sizes.estimate(cell(*few, "eval.batch=2")).terms["kv_cache"] == 8 * 4096 * a_token
    assert sizes.estimate(cell(*few, "eval.batch=2")).terms["prompts"] == 8 * 1024 * 3 * 18944 * 2
    everything = sizes.estimate(cell("compute=gpu", "compute.generate_batch=null", "compute.ranks=4")).terms
    assert everything["kv_cache"] == 256 * 4096 * a_token  # 64 x 16 completions over 4 ranks


def test_a_server_generates_on_other_gpus() -> None:
    lines = ["compute=gpu", "compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000"]
    terms = memory.estimate(cell(*lines), H200).terms
    assert not {"engine", "resident_engine", "kv_cache", "generation_logits"} & terms.keys()
    beside = memory.estimate(cell("compute=gpu", "compute.backend=vllm", "compute.vllm_sleep=false"), H200).terms
    assert {**terms, "resident_engine": beside["resident_engine"]} == beside


def test_checkpointing_trades_activations() -> None:
    with_it, without = (
        sizes.estimate(cell("compute=gpu", f"compute.gradient_checkpointing={on}")).terms["activations"]
        for on in ("true", "false")
    )
    assert without == 4 * 4096 * (28 * (32 * 3584 + 4 * 512 + 8 * 18944) + 4 * 3584)
    assert without > 10 * with_it


def test_an_eager_attention_is_quadratic_in_a_row_and_in_a_prompt() -> None:
    eager, plain = (sizes.estimate(cell("compute=gpu", *more)).terms for more in (["model.attention=eager"], []))
    heads = 4 * 28 * 4096**2 * 6  # 4 rows, one layer's 28 heads
    repeated = 4 * 4096 * 2 * 2 * (3584 - 512)  # keys and values, as many as queries
    assert eager["activations"] - plain["activations"] == heads + repeated
    assert eager["prompts"] - plain["prompts"] == 128 * 28 * 1024**2 * 6


def test_activations_are_computed_anew_only_where_they_would_hardly_fit() -> None:
    small, large = cell("compute=gpu", model="shape/qwen2_5_1_5b"), cell("compute=zero2_x4")
    assert sizes.kept_tokens(small, H200) is None
    assert sizes.kept_tokens(small, None) == 0 and sizes.kept_tokens(small, 30 << 30) == 0
    typical, longest = 4 * 885, 4 * 4096  # tokens of a micro-batch of the 7B cell of docs/full_size.md
    assert 2 * typical < (sizes.kept_tokens(large, H200) or 0) < longest
    for said, kept in (("false", None), ("true", 0)):
        told = cell("compute=gpu", f"compute.gradient_checkpointing={said}", model="shape/qwen2_5_1_5b")
        assert sizes.kept_tokens(told, 30 << 30) == kept


def test_what_is_kept_fits_beside_the_rest() -> None:
    """The estimate counts the longest pass that is kept, and it stays in the share that activations may take."""
    resident = ["compute=gpu", "compute.backend=vllm", "compute.vllm_sleep=false"]
    for one in (cell("compute=zero2_x4"), cell(*resident, model="shape/qwen2_5_1_5b")):
        kept = sizes.kept_tokens(one, H200)
        assert kept
        recomputing = one.compute.model_copy(update={"gradient_checkpointing": True})
        anew = sizes.estimate(one.model_copy(update={"compute": recomputing}), H200)
        found = sizes.estimate(one, H200)
        assert anew.phases["update"] < found.phases["update"] <= sizes.ROOMY * H200 * 1.001
        assert {**found.terms, "activations": 0} == {**anew.terms, "activations": 0}


def test_an_engine_that_stays_leaves_room_for_less() -> None:
    asleep, awake = (
        cell("compute=gpu", "compute.backend=vllm", f"compute.vllm_sleep={on}", model="shape/qwen2_5_1_5b")
        for on in ("true", "false")
    )
    assert sizes.kept_tokens(asleep, H200) is None and sizes.kept_tokens(awake, H200)


def test_where_passes_are_padded_all_are_kept_or_none() -> None:
    config = SHAPES["qwen2_5_7b"].config()
    assert not Sizes.of(config).has_window
    assert Sizes.of({**config, "model_type": "mistral", "sliding_window": 4096}).has_window
    assert not Sizes.of({**config, "use_sliding_window": False, "sliding_window": 4096}).has_window
    assert Sizes.of({**config, "layer_types": ["full_attention", "sliding_attention"]}).has_window
    assert sizes.kept_tokens(cell("compute=zero2_x4", "model.attention=eager"), H200) == 0


def test_under_zero_3_every_rank_gathers_as_often() -> None:
    assert sizes.kept_tokens(cell("compute=zero3_x2"), H200) == 0
    assert sizes.kept_tokens(cell("compute=zero3_x2", model="shape/tiny"), H200) is None


@pytest.mark.parametrize(
    ("preset", "weights", "gradients", "optimizer"),
    [
        ("zero1_x4", 2, 2, 3),  # bytes a parameter; the optimizer's 12 are shared out over 4
        ("zero2_x4", 2, 0.5, 3),
        ("zero3_x4", 0.5, 0.5, 3),
        ("zero3_2x8", 0.125, 0.125, 0.75),
        ("zero2_offload", 2, 0, 0),
        ("zero3_offload_x2", 0, 0, 0),
    ],
)
def test_what_zero_shards(preset: str, weights: float, gradients: float, optimizer: float) -> None:
    terms = sizes.estimate(cell(f"compute={preset}")).terms
    assert terms.get("weights", 0) == int(weights * QWEN_7B)
    assert terms.get("gradients", 0) == int(gradients * QWEN_7B)
    assert terms.get("optimizer", 0) == int(optimizer * QWEN_7B)


@pytest.mark.parametrize(("zero", "optimizer"), [(1, 3), (2, 3), (3, 2)])
def test_zero_3_alone_makes_no_second_copy_of_float32_weights(zero: int, optimizer: float) -> None:
    terms = sizes.estimate(cell(f"compute=zero{zero}_x4", "model.dtype=float32")).terms
    assert terms["optimizer"] == optimizer * QWEN_7B


def test_what_is_gathered_and_what_the_head_takes() -> None:
    embedding = 152_064 * 3584
    whole, sharded = (sizes.estimate(cell(f"compute={name}")).terms for name in ("gpu", "zero3_x4"))
    assert sharded["gathered_weights"] == 2 * QWEN_7B and sharded["gathered_layer"] == 2 * 2 * embedding
    assert not {"gathered_weights", "gathered_layer"} & whole.keys()
    # A tile of the fused head in bfloat16, the states of 4 rows and the head's gradient in float32.
    assert whole["logits"] == 4096 * 32768 * 2 + 4 * 4096 * 3584 * 4 + 4 * embedding


def test_lora_trains_little_and_keeps_the_base_in_bfloat16() -> None:
    found = sizes.estimate(cell("compute=gpu", "model.lora={rank: 16}"))
    assert found.trained == LORA_16
    assert found.terms["weights"] == 2 * QWEN_7B + 4 * LORA_16
    assert found.terms["optimizer"] == 8 * LORA_16
    assert found.peak < 0.45 * sizes.estimate(cell("compute=gpu")).peak


def test_a_reference_model_and_copies_for_ranks_without_zero_count() -> None:
    with_kl = cell("compute=gpu", "algo.name=mine", "estimator.kl=0.1")
    assert sizes.estimate(with_kl).terms["reference"] == 4 * QWEN_7B
    assert sizes.estimate(cell("compute=gpu", "compute.ranks=2")).terms["buckets"] == 4 * QWEN_7B


def test_the_largest_phase_counts_with_its_reserve() -> None:
    found = sizes.estimate(cell("compute=gpu"))
    step = sum(found.terms[name] for name in ("weights", "optimizer", "context", "gradients"))
    assert found.phases["step"] == round(1.05 * step)
    assert found.peak == max(found.phases.values()) and found.phases[found.phase] == found.peak


def test_what_cannot_fit_is_refused_with_a_preset_that_fits() -> None:
    with pytest.raises(
        UserError, match=r"takes about \d+ GB a GPU .* there are 151; write compute=zero\d_x2"
    ) as refused:
        memory.check(cell("compute=gpu"), H200, gpus=8)
    assert "\n" not in str(refused.value)
    offered = str(refused.value).split("compute=")[1].split(",")[0]
    memory.check(cell(f"compute={offered}"), H200, gpus=8)
    memory.check(cell("compute=gpu", "compute.check_memory=false"), H200, gpus=8)
    memory.check(cell("compute=gpu"), None, gpus=8)


def test_a_cache_that_is_too_large_asks_for_a_smaller_batch_only() -> None:
    own = ["algo.name=mine", "estimator=grpo", "compute=zero2_x4", "compute.micro_batch=1"]
    wide = cell(*own, "compute.generate_batch=null", "eval.batch=1024")
    with pytest.raises(UserError, match=r"in its generate phase.*write compute.generate_batch=64 eval.batch=64,"):
        memory.check(wide, 80 << 30, gpus=4)
    memory.check(cell(*own, "compute.generate_batch=64", "eval.batch=64"), 80 << 30, gpus=4)


VLLM = ["compute.backend=vllm"]
BUSY = [*VLLM, "compute.vllm_sleep=false"]
SERVED = ["compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000"]


@pytest.mark.parametrize(
    ("choice", "lines", "total", "gpus", "offered"),
    [
        ("gpu", BUSY, H200, 8, "zero3_x2"),
        ("zero1_x2", BUSY, H200, 8, "zero3_x2 compute.micro_batch=4"),
        ("gpu", [*VLLM, "eval.batch=1024"], 80 << 30, 8, "zero1_x4"),
        ("zero2_x2", [*VLLM, "eval.batch=1024"], 80 << 30, 8, "zero1_x4"),
        ("zero3_x2", [*VLLM, "eval.batch=1024"], 80 << 30, 8, "zero1_x4"),
        ("gpu", [*VLLM, "compute.vllm_memory=0.5"], 80 << 30, 8, "zero1_x8"),
        ("gpu", SERVED, 80 << 30, 8, "zero3_x2"),
        ("gpu", ["compute.gradient_checkpointing=false"], H200, 8, "zero2_x8"),
        ("gpu", [], H200, 8, "zero1_x2"),
    ],
)
def test_the_preset_named_is_another_one_into_which_the_cell_fits_as_it_is(
    choice: str, lines: list[str], total: int, gpus: int, offered: str
) -> None:
    with pytest.raises(UserError, match=f"; write compute={offered}, or") as refused:
        memory.check(cell(f"compute={choice}", *lines), total, gpus=gpus)
    assert f"compute={choice}," not in str(refused.value)
    memory.check(cell(*f"compute={offered}".split(), *lines), total, gpus=gpus)


def test_an_engine_too_large_for_any_preset_is_made_smaller() -> None:
    with pytest.raises(UserError, match=r"; write compute\.vllm_memory=0\.4 compute=zero1_x4, or"):
        memory.check(cell("compute=gpu", *VLLM, "compute.vllm_memory=0.9"), 80 << 30, gpus=8)


@pytest.mark.parametrize(
    ("lines", "total", "told"),
    [
        (["compute=zero2_x4"], H200, "there are 7.5 (compute.vllm_memory=0.05); write compute.vllm_memory=0.15, or"),
        (["compute=gpu", "model.lora={rank: 16}"], 80 << 30, "there are 4.3 (compute.vllm_memory=0.05); write"),
    ],
)
def test_a_share_in_which_vllm_cannot_hold_the_model_is_refused(lines: list[str], total: int, told: str) -> None:
    starved = [*lines, *VLLM, "compute.vllm_memory=0.05"]
    with pytest.raises(UserError) as refused:
        memory.check(cell(*starved), total, gpus=4)
    assert "takes at least 15.5 GB of a GPU for vLLM (weights and one completion)" in str(refused.value)
    assert told in str(refused.value)
    memory.check(cell(*lines, *VLLM, str(refused.value).split("write ")[1].split(",")[0]), total, gpus=4)
    assert any("takes at least 15.5 GB" in line for line in memory.lines([cell(*starved)], total))


def test_a_gpu_too_small_for_vllm_and_trainer_is_told_so() -> None:
    lines = ["compute=gpu", "model.lora={rank: 16}", *VLLM]
    with pytest.raises(UserError, match=r"at least 15\.5 GB of a GPU for vLLM .*there are 13\.7 .*; .*smaller model"):
        memory.check(cell(*lines), 32 << 30, gpus=1)


def test_keys_that_a_preset_is_about_must_go_for_it() -> None:
    with pytest.raises(UserError, match=r"write compute=zero1_x2 without compute\.ranks, or"):
        memory.check(cell("compute=gpu", "compute.ranks=2"), H200, gpus=2)


def test_a_share_of_a_gpu_is_all_there_is() -> None:
    lines = ["compute=gpu", "compute.generate_batch=16", "eval.batch=16"]
    memory.check(cell(*lines, model="shape/qwen2_5_1_5b"), H200, gpus=1)
    with pytest.raises(UserError, match=r"a share of 0\.1\); write compute\.share=0\.[0-9]+, or") as refused:
        memory.check(cell(*lines, "compute.share=0.1", model="shape/qwen2_5_1_5b"), H200, gpus=1)
    offered = str(refused.value).split("write ")[1].split(",")[0]
    memory.check(cell(*lines, offered, model="shape/qwen2_5_1_5b"), H200, gpus=1)


def test_on_one_gpu_offloading_comes_before_a_larger_machine() -> None:
    found = fitting(cell("compute=gpu"), H200, gpus=1, host=192 << 30)
    assert found and found[0] == "zero2_offload"


def test_what_is_offloaded_must_fit_beside_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitting(cell("compute=gpu"), H200, gpus=1, host=128 << 30)
    assert found and found[0] == "zero1_x2"  # a larger machine
    monkeypatch.setattr(devices, "memory_here", lambda: 192 << 30)
    memory.check(cell("compute=zero2_offload"), H200, gpus=1)
    monkeypatch.setattr(devices, "memory_here", lambda: 128 << 30)
    line = r"about 178 GB of a node's own memory with compute\.offload, there are 137; write compute=zero1_x2 on 2 GPUs"
    with pytest.raises(UserError, match=line):
        memory.check(cell("compute=zero2_offload"), H200, gpus=1)
    memory.check(cell("compute=zero2_offload", "compute.check_memory=false"), H200, gpus=1)


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/job/task\n", "job/memory.max"),
        ("0::/\n", "memory.max"),
        ("5:cpu,memory:/job\n0::/\n", "memory/job/memory.limit_in_bytes"),
    ],
)
def test_a_control_group_limits_the_memory_there_is(tmp_path: Path, groups: str, file: str) -> None:
    (tmp_path / "groups").write_text(groups)
    everything = devices.memory_here(groups=tmp_path / "none")
    limit = tmp_path / "root" / file
    limit.parent.mkdir(parents=True)
    for said, here in (("max", everything), ("9223372036854771712", everything), ("1048576", 1 << 20)):
        limit.write_text(f"{said}\n")
        assert devices.memory_here(groups=tmp_path / "groups", root=tmp_path / "root") == here
    assert everything > 1 << 28


def test_every_preset_leaves_the_batches_of_the_papers_as_they_are() -> None:
    one = rules.arm(cell("compute=gpu"))
    for name in presets():
        other = rules.arm(cell(f"compute={name}"))
        assert (other.rollout_size, other.train_batch, other.optimizer_steps) == (
            one.rollout_size,
            one.train_batch,
            one.optimizer_steps,
        ), name
        assert other.ranks * other.micro_batch * other.gradient_accumulation_steps == other.train_batch
    assert {*presets(), "auto", "cpu"} == set(groups(conf_dir())["compute"])  # none left out: each is to be read


def test_a_broken_preset_of_ones_own_is_not_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = presets()
    shutil.copytree(conf_dir() / "compute", tmp_path / "compute")
    for name, text in (("broken", "ranks: ["), ("wrong", "device: cuda\nranks: many"), ("above", "name: ${a.b}\nx: 1")):
        (tmp_path / "compute" / f"{name}.yaml").write_text(text)
    monkeypatch.setattr("rlvr_sweep.sweep.presets.conf_dir", lambda: tmp_path)
    assert presets.__wrapped__() == shipped


def test_where_a_config_comes_from() -> None:
    assert sizes.sizes_of(cell(model="qwen2.5_math_7b")).parameters == QWEN_7B  # of a known size
    lab = compose_or_refuse(["model=lab/llama"], multirun=False)[0].cell
    assert sizes.sizes_of(lab).parameters < 200_000  # a folder
    foreign = cell(model="qwen2.5_7b")
    foreign = foreign.model_copy(update={"model": foreign.model.model_copy(update={"hub": "someone/model"})})
    with pytest.raises(Unknown, match="prefetch"):
        sizes.sizes_of(foreign)
    with pytest.raises(Unknown, match="mamba"):
        Sizes.of({"model_type": "mamba"})
    with pytest.raises(Unknown, match="num_hidden_layers"):
        Sizes.of({"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8})


@pytest.mark.parametrize(
    ("lines", "gigabytes"),
    [
        (["compute=gpu"], 91.4),  # float32 weights and two moments
        (["compute=zero2_x4"], 106.6),  # bfloat16 weights, a float32 copy, two moments
        (["compute=zero3_x2"], 91.4),
        (["compute=gpu", "model.lora={rank: 16}"], 0.484),
    ],
)
def test_what_a_checkpoint_of_7b_takes(lines: list[str], gigabytes: float) -> None:
    assert sizes.checkpoint_bytes(cell(*lines)) / 1e9 == pytest.approx(gigabytes, rel=1e-3)


def test_plan_says_what_checkpoints_take_of_the_disk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=213_000_000_000))
    lines = ["model=shape/qwen2_5_7b", "compute=zero2_x4"]
    said = "disk: a checkpoint of about 107 GB a cell, two at once while one is written; 213 GB free in"
    assert f"{said} runs, too little\n" in plan(capsys, *lines)
    assert "too little" not in plan(capsys, *lines, "model.lora={rank: 64}")
    assert "a checkpoint" not in plan(capsys, *lines, "compute.checkpoint_every=0")
    assert "a checkpoint" not in plan(capsys, "model=shape/tiny", "compute=cpu")


def plan(capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    assert main(["plan", "algo=spurious_rewards", *lines]) == 0
    return capsys.readouterr().out


def test_plan_says_it_and_shows_its_terms(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_gpus: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["model=shape/qwen2_5_7b,shape/qwen2_5_1_5b", "compute=zero2_x4"]
    assert "GB a GPU" in plan(capsys, *lines)
    with_gpus(4)
    assert " GB of 151 GB a GPU\n" in plan(capsys, *lines)
    assert "more than there is" in plan(capsys, "model=shape/qwen2_5_7b", "compute=gpu")
    offloading = ["model=shape/qwen2_5_7b,shape/qwen2_5_1_5b", "compute=zero2_offload"]
    monkeypatch.setattr(devices, "memory_here", lambda: 192 << 30)
    said = "memory: about 178 GB of 206 GB of a node's own for a cell with compute.offload"
    assert f"{said}\n" in plan(capsys, *offloading)
    monkeypatch.setattr(devices, "memory_here", lambda: 128 << 30)
    assert "compute.offload, more than there is\n" in plan(capsys, *offloading)
    found: dict[str, Any] = json.loads(plan(capsys, *lines, "seed=0,1", "--json"))
    assert [entry["cells"] for entry in found["memory"]] == [2, 2]
    assert found["memory"][0]["terms"]["weights"] == 2 * QWEN_7B
    assert "memory" not in plan(capsys, "model=shape/tiny", "compute=cpu")


def test_a_launch_refuses_what_cannot_fit_before_it_starts(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_gpus: Callable[..., None],
) -> None:
    from rlvr_sweep.sweep import local

    with_gpus(1)
    monkeypatch.setattr(local.CellProcess, "start", lambda *args, **kwargs: pytest.fail("it started"))
    lines = ["model=shape/qwen2_5_7b", "algo=spurious_rewards", "compute=gpu", "data=lab/add", "data.repeat=true"]
    assert main([*lines, "eval=none", f"runs={tmp_path}"]) == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("rlvr_sweep: shape/qwen2_5_7b takes about 169 GB a GPU")


def test_a_sweep_starts_no_more_than_may_offload_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_gpus: Callable[..., None]
) -> None:
    from rich.console import Console

    from rlvr_sweep.cell_dir import CellDir
    from rlvr_sweep.sweep import local

    with_gpus(2)
    monkeypatch.setattr(local, "check_installed", lambda compute: None)
    monkeypatch.setattr(devices, "memory_here", lambda: 256 << 30)
    lines = ["model=shape/qwen2_5_7b", "algo=spurious_rewards", "compute=zero2_offload", f"runs={tmp_path}", "seed=0,1"]
    made = compose_or_refuse(lines, multirun=True)
    found = local.Scheduler([CellDir.create(c) for c in made], settings=made[0].cell.sweep, console=Console())
    first, second = [found.slots.take(wanted) for _, wanted in found._waiting]
    assert first is not None and second is None  # 178 GB each of 275


def test_a_large_model_on_cores_is_refused_before_it_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlvr_sweep.sweep import local

    monkeypatch.setattr(local.CellProcess, "start", lambda *args, **kwargs: pytest.fail("it started"))
    monkeypatch.setattr(devices, "memory_here", lambda: 64 << 30)
    lines = ["model=shape/qwen2_5_7b", "eval=none", "data.repeat=true", f"runs={tmp_path}"]
    assert main(lines) == 2
    assert "takes more than 122 GB of memory on cores (weights, gradients, Adam), there are 69; write a smaller" in (
        capsys.readouterr().err
    )
    memory.check_cores(cell("compute=cpu", model="shape/llama3_2_3b"))
    with pytest.raises(UserError, match=r"more than 103 GB"):  # 16 bytes a parameter, twice
        memory.check_cores(cell("compute=cpu", "compute.ranks=2", model="shape/llama3_2_3b"))
    memory.check_cores(cell("compute=cpu", "compute.check_memory=false"))
