"""ZeRO on two CPU ranks over gloo: it makes the update of plain ranks, stops and goes on exactly; its configuration."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlvr_sweep import versions
from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose, compose_or_refuse
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.protocol import DONE, STOPPED, USER_ERROR
from rlvr_sweep.shapes.memory import checkpoint_bytes, sizes_of
from rlvr_sweep.shapes.offload import host_bytes
from rlvr_sweep.train import checkpoints, deepspeed, worker
from tests.conftest import TINY
from tests.train.rank_pair import run_pair

# Two passes an update and rank, and a reference model.
SAME = ["compute.device=cpu", "algo.rollouts=2", "compute.micro_batch=2", "estimator.kl=0.1"]


def config(*lines: str) -> dict:
    found = deepspeed.config(compose_or_refuse(["compute=zero2_x2", *lines], multirun=False)[0].cell)
    assert found is not None
    return found


def test_without_zero_there_is_no_configuration() -> None:
    assert deepspeed.config(compose_or_refuse(["compute=gpu"], multirun=False)[0].cell) is None


def test_the_configuration_follows_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "find_spec", lambda name: object())
    assert config()["zero_optimization"]["stage"] == 2
    assert "offload_optimizer" not in config()["zero_optimization"]
    offloaded = config("compute.zero=3", "compute.offload=true")["zero_optimization"]
    assert offloaded["offload_optimizer"]["device"] == offloaded["offload_param"]["device"] == "cpu"
    assert offloaded["stage3_gather_16bit_weights_on_model_save"]
    assert config()["train_batch_size"] == "auto", "the batches are those of the algorithm"


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rlvr_sweep\[gpu\]'"):
        config()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["compute.zero=2", "compute.device=cpu"], "nothing to shard on 1 rank"),
        (["compute.offload=true"], "write compute.zero=2"),
        (["compute.zero=2", "compute.ranks=2"], "compute.device=cuda"),
        (["compute=zero2_x2", "compute.zero=4"], "compute.zero"),
        (["compute=zero2_x8", "algo.prompts_per_rollout=4"], "whole groups"),
    ],
)
def test_what_zero_cannot_do_is_refused(lines: list[str], told: str) -> None:
    faults = compose(lines, multirun=False).faults
    assert len(faults) == 1 and told in faults[0]


def test_zero_is_no_part_of_the_identity() -> None:
    presets = ("gpu", "zero2_x2", "zero3_x4")
    assert len({compose_or_refuse([f"compute={name}"], multirun=False)[0].cell_id for name in presets}) == 1


HALF = ["model.dtype=bfloat16"]  # beside a float32 master copy
LORA = [*HALF, "model.lora={rank: 16}"]  # adapters large enough that ZeRO-3 shards them
OFFLOAD = ["compute.offload=true"]
ANEW = ["compute.gradient_checkpointing=true"]
UNEVEN = ["eval.benchmarks.add.count=3", "eval.benchmarks.add.samples=3", "compute.generate_batch=4"]  # 5 rows and 4
CELLS = {  # name -> (ZeRO, further overrides, how it is run: to its end, or stopped in its second rollout)
    "ranks": (0, [], ("",)),
    "ranks-kept": (0, ANEW, ("#95",)),
    "zero3": (3, [], ("",)),  # DeepSpeed's first: it must not know of the ranks by another
    "zero1": (1, [], ("",)),
    "zero2": (2, [], ("",)),
    "zero2-resumed": (2, [], ("@2", "")),
    "zero2-stopped": (2, [], ("@2",)),
    "zero3-resumed": (3, [], ("@2", "")),
    "half3-stopped": (3, [*HALF, *UNEVEN], ("@2",)),
    "half": (2, HALF, ("",)),
    "half-resumed": (2, HALF, ("@2", "")),
    "half-offloaded": (2, [*HALF, *OFFLOAD], ("",)),
    "half3-offloaded": (3, [*HALF, *OFFLOAD], ("",)),
    "lora2": (2, LORA, ("",)),
    "lora2-resumed": (2, LORA, ("@2", "")),
    "lora3": (3, [*LORA, *ANEW], ("#0",)),
    "lora3-resumed": (3, [*LORA, *ANEW], ("@2#0", "#0")),
    "zero2-kept": (2, ANEW, ("#95",)),
    "zero3-kept": (3, ANEW, ("#0",)),
    "zero3-torn": (3, ANEW, ("#rank",)),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellDir]:
    """All cells, run by one pair of ranks."""
    folder = tmp_path_factory.mktemp("zero")
    made, words, codes = {}, [], []
    for name, (zero, lines, parts) in CELLS.items():
        own = [f"compute.zero={zero}", *SAME, "compute.ranks=2", *lines, f"runs={folder / name}"]
        made[name] = CellDir.create(compose_or_refuse([*TINY, *own], multirun=False)[0])
        words += [f"{made[name].path}{part}" for part in parts]
        codes += [STOPPED if "@" in part else USER_ERROR if part == "#rank" else DONE for part in parts]
    assert run_pair(folder, words) == codes
    return made


def digest(directory: CellDir) -> list[str]:
    files = [directory.path / "metrics.jsonl", *sorted(directory.path.glob("model/*.safetensors"))]
    files += sorted(directory.path.glob("evals/*/*"))
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]


def steps(directory: CellDir) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory.path / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: each.float() for file in folder.glob("*.safetensors") for name, each in load_file(file).items()}


def way(folder: Path) -> torch.Tensor:
    """How far training moved each weight of the lab model, as one vector."""
    base, trained = weights(model_dir("qwen_math")), weights(folder)
    assert {name: each.shape for name, each in trained.items()} == {name: each.shape for name, each in base.items()}
    return torch.cat([(trained[name] - base[name]).flatten() for name in sorted(base)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3"])
def test_zero_makes_the_updates_of_plain_ranks(name: str, ran: dict[str, CellDir]) -> None:
    plain, sharded = steps(ran["ranks"]), steps(ran[name])
    assert [row["step"] for row in sharded] == [1, 2, 3, 4]
    assert sharded[0]["grad_norm"] > 0
    for mine, theirs in zip(plain, sharded, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], abs=1e-5)
        assert theirs["grad_norm"] == pytest.approx(mine["grad_norm"], rel=1e-3)
    mine, theirs = way(ran["ranks"].path / "model"), way(ran[name].path / "model")
    assert (mine - theirs).norm() < 0.01 * mine.norm()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero2", "zero3", "half", "lora2", "lora3"])
def test_what_was_stopped_in_a_rollout_goes_on_exactly(name: str, ran: dict[str, CellDir]) -> None:
    assert len(steps(ran[name])) == 4
    assert digest(ran[f"{name}-resumed"]) == digest(ran[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ranks", "zero2"])
def test_a_rank_may_keep_activations_while_another_computes_them_anew(name: str, ran: dict[str, CellDir]) -> None:
    kept = ran[f"{name}-kept"]
    first, second = (json.loads((kept.path / f"anew-{rank}.json").read_text()) for rank in (0, 1))
    assert (True, False) in zip(first, second, strict=True) or (False, True) in zip(first, second, strict=True)
    assert digest(kept) == digest(ran[name])


@pytest.mark.slow
def test_under_zero_3_all_ranks_compute_anew_or_none(ran: dict[str, CellDir]) -> None:
    assert digest(ran["zero3-kept"]) == digest(ran["zero3"])
    torn = ran["zero3-torn"]
    assert json.loads((torn.path / "anew-0.json").read_text()) == []
    assert "write compute.gradient_checkpointing=true" in torn.read_status()["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora2", "lora3"])
def test_an_adapter_trained_in_shards_is_merged_whole(name: str, ran: dict[str, CellDir]) -> None:
    assert any(each.any() for key, each in weights(ran[name].path / "adapter").items() if "lora_B" in key)
    assert way(ran[name].path / "model").norm() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora2", "lora3"])
def test_what_vllm_is_given_of_an_adapter_in_shards_is_the_merged_model(name: str, ran: dict[str, CellDir]) -> None:
    base, pushed = weights(model_dir("qwen_math")), weights(ran[name].path)
    model = weights(ran[name].path / "model")
    assert pushed.keys() == model.keys()

    def is_merged(found: torch.Tensor, key: str) -> bool:
        """But for a last digit of bfloat16, of the sum or of the weight that the adapter was added to."""
        digit = 2**-7 * torch.maximum(model[key].abs(), base[key].abs()) + 1e-7
        return found.shape == model[key].shape and bool(((found - model[key]).abs() <= digit).all())

    assert all(is_merged(pushed[key], key) for key in model)
    assert not all(is_merged(base[key], key) for key in model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero2-stopped", "half3-stopped"])
def test_a_checkpoint_is_as_large_as_plan_says(name: str, ran: dict[str, CellDir]) -> None:
    stopped = ran[name]
    [checkpoint] = (stopped.path / "checkpoints").glob("checkpoint-*")
    assert not list(checkpoint.glob("*.safetensors")), "the weights once more"
    sizes = [p.stat().st_size for p in checkpoint.glob("global_step*/*.pt")]
    assert sum(sizes) == pytest.approx(checkpoint_bytes(stopped.cell), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half-offloaded", "half3-offloaded"])
def test_what_is_offloaded_is_as_large_as_plan_says(name: str, ran: dict[str, CellDir]) -> None:
    cell = ran[name].cell
    held = sum(json.loads((ran[name].path / f"offloaded-{rank}.json").read_text()) for rank in (0, 1))
    assert held == pytest.approx(host_bytes(cell, sizes_of(cell)), rel=0.05)  # on cores nothing is pinned


@pytest.mark.slow
def test_offloading_leaves_the_updates_as_they_are(ran: dict[str, CellDir]) -> None:
    assert digest(ran["half-offloaded"]) == digest(ran["half"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora3", "lora3-resumed"])
def test_lora_under_zero_3_computes_anew_as_trl_asks_also_in_the_middle_of_a_rollout(
    name: str, ran: dict[str, CellDir]
) -> None:
    """The last attempt of the resumed one begins with saved completions, before any generation."""
    reentrant = json.loads((ran[name].path / "reentrant-0.json").read_text())
    assert reentrant and all(reentrant)


@pytest.mark.slow
def test_another_number_of_ranks_or_another_sharding_cannot_resume(ran: dict[str, CellDir]) -> None:
    stopped = ran["zero2-stopped"]
    folder = stopped.path / "checkpoints"
    assert checkpoints.newest(folder, ranks=2, zero=2)
    assert checkpoints.newest(folder, ranks=2, zero=1)
    for zero in (0, 3):
        with pytest.raises(UserError, match=r"written with compute\.zero=1 or 2, .* state is cut otherwise"):
            checkpoints.newest(folder, ranks=2, zero=zero)

    alone = compose_or_refuse([*TINY, *SAME, f"runs={stopped.path.parent}"], multirun=False)[0]
    assert alone.cell_id == stopped.cell_id
    stopped.update(alone)
    with pytest.raises(UserError, match=r"written by 2 ranks.*write compute\.ranks=2"):
        worker.train(stopped, say=stopped.status, is_main=True, began=0.0)
    assert checkpoints.newest(folder, ranks=2, zero=2), "it is kept"


def test_a_checkpoint_tells_how_it_is_sharded(tmp_path: Path) -> None:
    step = tmp_path / "checkpoint-2" / "global_step2"
    assert checkpoints.sharding(step.parent) == "0"
    step.mkdir(parents=True)
    (step / "zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    assert checkpoints.sharding(step.parent) == "1 or 2"
    (step / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    assert checkpoints.sharding(step.parent) == "3"
