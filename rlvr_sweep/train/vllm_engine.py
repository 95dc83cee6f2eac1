"""Rollouts and evaluations by vLLM, on the GPUs that train (compute.backend=vllm).

    backend = colocated(trainer)                       # TRL's engine and weight sync; the requests are ours
    backend.generate(prompt_ids, Sampling(3072, 1.0), seeds=[7, 8, 9])

Asked as TRL asks, most of an engine's time goes into text and log-probs that nobody reads, all seeds of a cell sample
the same, and a resume starts its stream anew. Here each completion has a seed of its own, only token ids come back, and
what ends a completion is what ends it under Hugging Face.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.train.generation import Sample, Sampling
from rlvr_sweep.versions import INSTALL_VLLM, TRL_VLLM


def require() -> None:
    """UserError where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            f"compute.backend=vllm: vLLM is not installed (TRL takes {TRL_VLLM}); {INSTALL_VLLM}; "
            "or write compute.backend=hf"
        )


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
        self.llm, self.ends, self.stop, self.awake = llm, sorted(ends), list(stop), awake
        self.waking = 0.0

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, *, seeds: Sequence[int]) -> list[Sample]:
        """One completion a prompt, drawn by its seed. On a GPU what else is in the batch can change a late digit of
        a logit, and so a token: seeds make completions independent and a resume go on, not bit-equal."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        asked = [
            SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=seed,
                stop_token_ids=self.ends,
                stop=self.stop,
                include_stop_str_in_output=True,  # the completion ends with it, as under Hugging Face
                # Text is made only where a stop string has to be found in it, special tokens included.
                detokenize=bool(self.stop),
                skip_special_tokens=False,
            )
            for seed in seeds
        ]
        began = time.perf_counter()
        with self.awake():
            self.waking = time.perf_counter() - began
            requests = [{"prompt_token_ids": ids} for ids in prompts]
            outputs = self.llm.generate(requests, sampling_params=asked, use_tqdm=False) if requests else []
        answers = [output.outputs[0] for output in outputs]
        return [Sample(ids=list(a.token_ids), truncated=a.finish_reason == "length") for a in answers]


def alone(folder: str, *, dtype: str, window: int) -> Any:
    """vLLM's engine with a GPU to itself, for a model that nobody trains. `window`: tokens of the longest prompt with
    its completion."""
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    return LLM(model=folder, dtype=dtype, max_model_len=window, gpu_memory_utilization=0.9, seed=0)


def colocated(trainer: Any) -> VLLM:
    """The engine that TRL has made beside the trainer's model: weights are pushed when they have changed, and where the
    engine sleeps (compute.vllm_sleep) it gives its memory to the update in between."""
    engine = trainer.vllm_generation
    if hasattr(trainer.model, "peft_config"):
        # TRL merges the adapter into the base and takes it out again: in bfloat16 the base drifts, 1% in 100 times.
        engine._iter_named_params = lambda: merged(engine)
    pushed: int | None = None  # the optimizer step whose weights the engine holds

    @contextmanager
    def awake() -> Iterator[None]:
        nonlocal pushed
        if pushed != trainer.state.global_step or engine._llm_weights_sleeping:
            engine.sync_weights()
            pushed = trainer.state.global_step
        if engine.enable_sleep_mode:
            engine.llm.wake_up(tags=["kv_cache"])
        try:
            yield
        finally:
            if engine.enable_sleep_mode:
                engine.llm.sleep(level=2)
                engine._llm_weights_sleeping = True

    return VLLM(engine.llm, ends=trainer.eos_token_ids, stop=trainer.cell.model.stop, awake=awake)


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
