"""Rollouts and evaluations by vLLM, on the GPUs that train (compute.backend=vllm).

    backend = colocated(trainer)                       # TRL's engine and weight sync; the requests are ours
    backend.generate(prompt_ids, Sampling(3072, 1.0), seeds=[7, 8, 9])

Asked as TRL asks, most of an engine's time goes into text and log-probs that nobody reads, all seeds of a cell sample
the same, and a resume starts its stream anew. Here each completion has a seed of its own, only token ids come back, and
what ends a completion is what ends it under Hugging Face.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from rlvr_sweep.config.schema import Cell
from rlvr_sweep.errors import UserError
from rlvr_sweep.train.generation import Sample, Sampling
from rlvr_sweep.versions import check_installed


def require(cell: Cell, *, use_cpu: bool) -> None:
    """UserError where what generates is not Hugging Face, and there is no GPU or no vLLM to do it."""
    backend = cell.compute.backend
    if backend != "hf" and use_cpu:
        raise UserError(f"compute.backend={backend}: wants a GPU, and torch sees none; write compute.backend=hf")
    check_installed(cell.compute)


def request(sampling: Sampling, *, seed: int, ends: Sequence[int], stop: Sequence[str]) -> dict[str, Any]:
    """What one completion is asked for: the fields of vLLM's SamplingParams, in the process or over HTTP."""
    asked: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": seed,
        "stop_token_ids": sorted(ends),
        "stop": list(stop),
        "include_stop_str_in_output": True,  # the completion ends with it, as under Hugging Face
        # Text is made only where a stop string has to be found in it, special tokens included.
        "detokenize": bool(stop),
        "skip_special_tokens": False,
    }
    return asked | ({"logprobs": 0} if sampling.logprobs else {})  # 0: of the token that was drawn, and of no other


class VLLM:
    """An engine that answers requests of token ids. `awake` is entered for every call, on all ranks alike; the last one
    took `waking` seconds, to push the weights above all."""

    def __init__(
        self,
        llm: Any,
        *,
        ends: Sequence[int],
        stop: Sequence[str],
        awake: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.llm, self.ends, self.stop, self.awake = llm, ends, stop, awake
        self.waking = 0.0

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, *, seeds: Sequence[int]) -> list[Sample]:
        """One completion a prompt, drawn by its seed. On a GPU what else is in the batch can change a late digit of
        a logit, and so a token: seeds make completions independent and a resume go on, not bit-equal."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        asked = [SamplingParams(**request(sampling, seed=seed, ends=self.ends, stop=self.stop)) for seed in seeds]
        began = time.perf_counter()
        with self.awake():
            self.waking = time.perf_counter() - began
            requests = [{"prompt_token_ids": ids} for ids in prompts]
            outputs = self.llm.generate(requests, sampling_params=asked, use_tqdm=False) if requests else []
        return [_sample(output.outputs[0], with_logprobs=sampling.logprobs) for output in outputs]


def _sample(answer: Any, *, with_logprobs: bool) -> Sample:
    ids = list(answer.token_ids)
    drawn = [of[token].logprob for token, of in zip(ids, answer.logprobs, strict=True)] if with_logprobs else None
    return Sample(ids, truncated=is_cut(answer.finish_reason), logprobs=drawn)


def is_cut(reason: str | None) -> bool:
    """Whether the length limit ended a completion, or else an end token or a stop string. ConnectionAbortedError where
    vLLM gave it up: an engine that is being ended answers with what it has so far."""
    if reason not in ("stop", "length"):
        raise ConnectionAbortedError(f"vLLM gave a completion up: {reason}")
    return reason == "length"


def alone(folder: str, *, dtype: str, window: int, memory: float = 0.9) -> Any:
    """vLLM's engine for a model that nobody trains, with `memory` of a GPU. `window`: tokens of the longest prompt with
    its completion. Its log-probs are those of the distribution that it draws from."""
    # In this process, as TRL's: an engine forked from one that has asked CUDA anything cannot start.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    return LLM(
        model=folder,
        dtype=dtype,
        max_model_len=window,
        gpu_memory_utilization=memory,
        seed=0,
        logprobs_mode="processed_logprobs",
    )


def compute_in(dtype: str) -> None:
    """What the engine that TRL is about to make computes in: TRL leaves it to the model's files, and those in float16
    would be sampled from otherwise than the trainer, `label` and `align` compute."""
    from trl.generation import vllm_generation

    made: Any = vars(vllm_generation)
    made["LLM"] = partial(made["LLM"], dtype=dtype)


def colocated(trainer: Any) -> VLLM:
    """The engine that TRL has made beside the trainer's model: weights are pushed when they have changed, and where the
    engine sleeps (compute.vllm_sleep) it gives its memory to the update in between."""
    engine, keep_up = trainer.vllm_generation, pusher(trainer)

    @contextmanager
    def awake() -> Iterator[None]:
        keep_up(again=engine._llm_weights_sleeping)
        if engine.enable_sleep_mode:
            engine.llm.wake_up(tags=["kv_cache"])
        try:
            yield
        finally:
            if engine.enable_sleep_mode:
                engine.llm.sleep(level=2)
                engine._llm_weights_sleeping = True

    return VLLM(engine.llm, ends=trainer.eos_token_ids, stop=trainer.cell.model.stop, awake=awake)


def pusher(trainer: Any) -> Callable[..., None]:
    """What pushes the trainer's weights to the engine if they have changed, or `again`; all ranks call it together."""
    engine = trainer.vllm_generation
    if hasattr(trainer.model, "peft_config"):
        # TRL merges the adapter into the base and takes it out again: in bfloat16 the base drifts, 1% in 100 times.
        engine._iter_named_params = lambda: merged(engine)
    pushed: int | None = None  # the optimizer step whose weights the engine holds

    def keep_up(*, again: bool = False) -> None:
        nonlocal pushed
        if again or pushed != trainer.state.global_step:
            engine.sync_weights()
            pushed = trainer.state.global_step

    return keep_up


def merged(engine: Any) -> Iterator[tuple[str, Any]]:
    """(vLLM's name, weight) of a LoRA model with the adapter added, one weight at a time, the model left as it is."""
    from peft.tuners.lora import LoraLayer

    model = engine.model
    adapted: dict[str, Any] = {
        f"{name}.base_layer.weight": module for name, module in model.named_modules() if isinstance(module, LoraLayer)
    }
    for name, weight in model.named_parameters():
        if model.prefix in name:
            continue
        layer = adapted.get(name)
        with engine._dist.gather_params([weight, *(layer.parameters() if layer is not None else ())]):
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            value = weight.data
            if layer is not None:
                value = (value.float() + layer.get_delta_weight(layer.active_adapters[0]).float()).to(value.dtype)
            yield engine._fix_param_name_to_vllm(plain), value
