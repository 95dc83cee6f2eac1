"""vLLM as a backend, without a GPU: what it is asked for, when weights are pushed, what a LoRA model hands over."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration

from rlvr_sweep.cell_dir import CellDir
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train import worker
from rlvr_sweep.train.generation import Sampling
from rlvr_sweep.train.vllm_engine import VLLM, colocated, compute_in, merged, require


class Engine:
    """Stands in for vllm.LLM: repeats a prompt's first token until its limit, or until an end token."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.events: list[str] = []

    def generate(self, prompts: list[dict[str, list[int]]], *, sampling_params: list[Any], use_tqdm: bool) -> list[Any]:
        self.events.append("generate")
        self.asked += sampling_params
        found = []
        for prompt, wanted in zip(prompts, sampling_params, strict=True):
            token = prompt["prompt_token_ids"][0]
            ends = token in wanted.stop_token_ids
            ids = (token,) if ends else (token,) * wanted.max_tokens
            answer = SimpleNamespace(token_ids=ids, finish_reason="stop" if ends else "length", logprobs=None)
            if hasattr(wanted, "logprobs"):
                answer.logprobs = [{one: SimpleNamespace(logprob=-0.5 * one)} for one in ids]
            found.append(SimpleNamespace(outputs=[answer]))
        return found

    def wake_up(self, tags: list[str]) -> None:
        self.events.append(f"wake {tags[0]}")

    def sleep(self, level: int) -> None:
        self.events.append(f"sleep {level}")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vllm to import whose SamplingParams are what they were given."""
    module = ModuleType("vllm")
    module.SamplingParams = lambda **asked: SimpleNamespace(**asked)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)


@pytest.mark.usefixtures("requests")
def test_each_completion_has_its_seed_and_only_token_ids_come_back() -> None:
    engine = Engine()
    samples = VLLM(engine, ends=[9, 2], stop=[]).generate([[5, 6], [9]], Sampling(3, 0.6, 0.95), seeds=[7, 8])
    assert [tuple(s) for s in samples] == [([5, 5, 5], True, None), ([9], False, None)]
    assert [wanted.seed for wanted in engine.asked] == [7, 8]
    for wanted in engine.asked:
        assert (wanted.max_tokens, wanted.temperature, wanted.top_p) == (3, 0.6, 0.95)
        assert wanted.stop_token_ids == [2, 9]
        assert wanted.detokenize is False and not hasattr(wanted, "logprobs")


@pytest.mark.usefixtures("requests")
def test_the_log_probs_of_the_tokens_that_were_drawn_come_back_where_they_are_asked_for() -> None:
    engine = Engine()
    [one, two] = VLLM(engine, ends=[9], stop=[]).generate([[5], [9]], Sampling(2, 1.0, logprobs=True), seeds=[7, 8])
    assert one.logprobs == [-2.5, -2.5] and two.logprobs == [-4.5]
    assert [wanted.logprobs for wanted in engine.asked] == [0, 0]


@pytest.mark.usefixtures("requests")
def test_a_stop_string_is_looked_for_in_text_and_stays_in_the_completion() -> None:
    engine = Engine()
    VLLM(engine, ends=[2], stop=["</answer>"]).generate([[5]], Sampling(3, 1.0), seeds=[7])
    [wanted] = engine.asked
    assert wanted.stop == ["</answer>"] and wanted.detokenize and wanted.include_stop_str_in_output
    assert wanted.skip_special_tokens is False


def a_trainer(engine: Engine, *, sleeps: bool) -> Any:
    def sync() -> None:
        engine.events.append("push")
        beside._llm_weights_sleeping = False

    beside = SimpleNamespace(
        llm=engine, sync_weights=sync, enable_sleep_mode=sleeps, _llm_weights_sleeping=sleeps, model=None
    )
    return SimpleNamespace(
        vllm_generation=beside,
        model=torch.nn.Linear(1, 1),
        state=SimpleNamespace(global_step=0),
        eos_token_ids=[2],
        cell=SimpleNamespace(model=SimpleNamespace(stop=[])),
    )


@pytest.mark.usefixtures("requests")
def test_weights_are_pushed_when_they_have_changed() -> None:
    engine = Engine()
    trainer = a_trainer(engine, sleeps=False)
    backend = colocated(trainer)
    for step in (0, 0, 4):
        trainer.state.global_step = step
        backend.generate([[5]], Sampling(1, 1.0), seeds=[1])
    assert engine.events == ["push", "generate", "generate", "push", "generate"]


@pytest.mark.usefixtures("requests")
def test_the_push_is_timed_apart_from_the_sampling() -> None:
    engine = Engine()
    trainer = a_trainer(engine, sleeps=False)
    push = trainer.vllm_generation.sync_weights
    trainer.vllm_generation.sync_weights = lambda: (time.sleep(0.5), push())
    backend = colocated(trainer)
    backend.generate([[5]], Sampling(1, 1.0), seeds=[1])
    assert backend.waking >= 0.5
    backend.generate([[5]], Sampling(1, 1.0), seeds=[1])
    assert backend.waking < 0.5  # the engine has those weights


@pytest.mark.usefixtures("requests")
def test_an_engine_that_sleeps_is_given_its_weights_again() -> None:
    engine = Engine()
    backend = colocated(a_trainer(engine, sleeps=True))
    backend.generate([[5]], Sampling(1, 1.0), seeds=[1])
    backend.generate([], Sampling(1, 1.0), seeds=[])  # a rank without prompts takes part in the push
    once = ["push", "wake kv_cache", "generate", "sleep 2"]
    assert engine.events == [*once, "push", "wake kv_cache", "sleep 2"]


def test_the_engine_beside_the_trainer_computes_in_the_models_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(vllm_generation, "LLM", lambda **options: made.append(options) or Engine(), raising=False)
    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):  # TRL sets them
        monkeypatch.setenv(name, "0")
    state = SimpleNamespace(deepspeed_plugin=None)
    accelerator: Any = SimpleNamespace(num_processes=1, process_index=0, local_process_index=0, state=state)
    accelerator.wait_for_everyone = lambda: None
    model: Any = torch.nn.Linear(1, 1)
    model.name_or_path = "DIR"
    for dtype in ("float32", "bfloat16"):
        compute_in(dtype)
        VLLMGeneration(model, accelerator, None)  # pyright: ignore[reportArgumentType]
    assert [(options["model"], options["dtype"]) for options in made] == [("DIR", "float32"), ("DIR", "bfloat16")]


def test_a_cell_tells_trl_before_it_makes_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Made(Exception):
        pass

    def engine(**options: Any) -> None:
        raise Made(vars(vllm_generation)["LLM"].keywords)

    monkeypatch.setattr(vllm_generation, "LLM", Engine, raising=False)
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", engine)
    monkeypatch.setattr("rlvr_sweep.train.vllm_engine.require", lambda cell, use_cpu: None)
    lines = ["model=lab/qwen_math", "compute.backend=vllm", "model.dtype=bfloat16", "tracking=off", "eval=none"]
    directory = CellDir.create(compose_or_refuse([*lines, f"runs={tmp_path}"], multirun=False)[0])
    with pytest.raises(Made, match=r"\{.dtype.: .bfloat16.\}"):
        worker.train(directory, say=directory.status, is_main=True, began=0.0)


def test_a_lora_model_hands_over_merged_weights_and_keeps_its_own() -> None:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(model_dir("qwen_math"), dtype=torch.bfloat16)
    names = [name for name, _ in base.named_parameters()]
    model: Any = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    engine: Any = SimpleNamespace(model=model, _dist=SimpleNamespace(gather_params=lambda params: nullcontext()))
    engine._fix_param_name_to_vllm = lambda name: VLLMGeneration._fix_param_name_to_vllm(engine, name)
    pushed = dict(merged(engine))
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())  # bit for bit
    assert sorted(pushed) == sorted(names)
    name = "model.layers.0.self_attn.q_proj"
    inside = f"base_model.model.{name}"
    delta = before[f"{inside}.lora_B.default.weight"].float() @ before[f"{inside}.lora_A.default.weight"].float()
    scale = model.peft_config["default"].lora_alpha / model.peft_config["default"].r
    expected = before[f"{inside}.base_layer.weight"].float() + scale * delta
    assert not torch.equal(pushed[f"{name}.weight"], before[f"{inside}.base_layer.weight"])
    assert torch.allclose(pushed[f"{name}.weight"].float(), expected, rtol=1e-2)


def test_without_vllm_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlvr_sweep.versions.find_spec", lambda name: None)
    cell: Any = SimpleNamespace(compute=Compute(name="x", backend="vllm"))
    with pytest.raises(UserError, match=r"vLLM is not installed .*DEVICE=gpu-vllm make setup.*compute.backend=hf"):
        require(cell, use_cpu=False)
    with pytest.raises(UserError, match=r"compute\.backend=vllm: wants a GPU"):
        require(cell, use_cpu=True)
