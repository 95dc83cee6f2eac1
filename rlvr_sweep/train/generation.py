"""The rollout backend: token ids in, token ids out. Training and evaluation sample through the same seam.

    backend = HuggingFace(trainer, stop=["</answer>"], batch=128)          # or Untrained(model, tokenizer, ...)
    backend.generate(prompt_ids, Sampling(max_tokens=3072, temperature=1.0), seeds=[7, 8, 9]) -> list[Sample]

TRL's own generate path takes no tokenizer, so stop strings raise there, and once forced the pad fill behind a stop
string is trained on. Here a completion ends at its first end token or stop string, and a later token is never seen by
anyone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
    TopPLogitsWarper,
)
from trl.models.utils import unwrap_model_for_generation

from rlvr_sweep.train.kv_cache import roomy

AHEAD = 1 << 14  # numbers drawn at a time for a row on a GPU, where a launch costs more than the numbers


class Sampling(NamedTuple):
    """How to sample: at most `max_tokens` new tokens; temperature 0 is greedy. `logprobs`: vLLM's own are wanted."""

    max_tokens: int
    temperature: float
    top_p: float = 1.0
    logprobs: bool = False


class Sample(NamedTuple):
    """One completion's token ids (its end token or stop string included), and whether the length limit ended it.

    `logprobs`: of each token when it was drawn, at the temperature; where they were asked for, else None."""

    ids: list[int]
    truncated: bool
    logprobs: list[float] | None = None


class Backend(Protocol):
    """What trainer and evaluator ask of a generation engine. All ranks must make the same number of calls."""

    waking: float  # seconds that the last call spent on pushing weights

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, *, seeds: Sequence[int]) -> list[Sample]: ...


class _Draws(LogitsProcessor):
    """Sampling as an argmax over logits plus Gumbel noise, which draws from the softmax exactly.

    Each row has a generator of its own, so that what is sampled for it does not depend on the rows beside it, on the
    rank, or on anything sampled before.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling, device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.temperature = sampling.temperature
        self.top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self._is_ahead, self._drawn, self._step = device.type != "cpu", torch.empty(0), 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores = scores.float() / self.temperature
        if self.top_p is not None:
            scores = self.top_p(input_ids, scores)
        return scores - self._noise(scores).log()

    def _noise(self, scores: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary), exponential. A small vocabulary's is drawn for many tokens at once: how many may depend
        on nothing but the vocabulary."""
        rows, words = scores.shape
        steps = max(1, AHEAD // words) if self._is_ahead else 1
        if self._step % steps == 0:
            self._drawn = torch.empty(rows, steps, words, device=scores.device)
            for row, generator in zip(self._drawn, self.generators, strict=True):
                row.exponential_(generator=generator)
        self._step += 1
        return self._drawn[:, (self._step - 1) % steps]


class _StopStrings(StoppingCriteria):
    """HF's criterion for stop strings, remembering where each row stopped."""

    def __init__(self, tokenizer: Any, stop: list[str], prompt_length: int) -> None:
        self.inner = StopStringCriteria(tokenizer, stop)
        self.prompt_length = prompt_length
        self.lengths: torch.Tensor | None = None  # tokens of the completion when it stopped; 0: it has not

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> torch.Tensor:
        done = self.inner(input_ids, scores, **kwargs)
        if self.lengths is None:
            self.lengths = torch.zeros_like(done, dtype=torch.long)
        fresh = done & (self.lengths == 0)
        self.lengths[fresh] = input_ids.shape[1] - self.prompt_length
        return done


class HuggingFace:
    """`model.generate` in batches.

    Reproducible from `seed` on one device and one batch split; leaves the RNG as it was.
    """

    waking = 0.0  # it samples from the trainer's own weights

    def __init__(self, trainer: Any, *, stop: list[str], batch: int | None) -> None:
        self.trainer = trainer
        self.stop = stop
        self.batch = batch

    @classmethod
    def of(cls, trainer: Any) -> "HuggingFace":
        """As the trainer's cell has it."""
        return cls(trainer, stop=list(trainer.cell.model.stop), batch=trainer.cell.compute.generate_batch)

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, *, seeds: Sequence[int]) -> list[Sample]:
        """One completion a prompt, drawn by its seed; repeat a prompt with other seeds to sample it several times."""
        samples: list[Sample] = []
        size = self.batch or max(1, len(prompts))
        with self._model() as model:
            for start in range(0, len(prompts), size):
                part = slice(start, start + size)
                samples += self._batch(model, list(prompts[part]), sampling, seeds[part])
        return samples

    @contextmanager
    def _model(self) -> Iterator[Any]:
        """The model ready to generate: gathered, without dropout, autocast as in training."""
        trainer = self.trainer
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
                gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
            ) as unwrapped,
            torch.no_grad(),
            trainer.accelerator.autocast(),
        ):
            model: Any = unwrapped
            was_training = model.training
            model.eval()
            try:
                yield model
            finally:
                model.train(was_training)

    def _host(self) -> tuple[Any, Any, Sequence[int]]:
        """The tokenizer, the device of the prompts, and the end tokens."""
        return self.trainer.processing_class, self.trainer.accelerator.device, self.trainer.eos_token_ids

    def _batch(self, model: Any, prompts: list[list[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sample]:
        tokenizer, device, ends = self._host()
        width = max(map(len, prompts))
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=False,  # the argmax; noise comes from _Draws
            eos_token_id=list(ends),
            pad_token_id=pad,
            bos_token_id=tokenizer.bos_token_id,
        )
        stops = _StopStrings(tokenizer, self.stop, width) if self.stop else None
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            past_key_values=roomy(model, tokens=width + sampling.max_tokens),
            logits_processor=LogitsProcessorList([_Draws(seeds, sampling, device)] if sampling.temperature else []),
            stopping_criteria=StoppingCriteriaList([stops] if stops else []),
        )[:, width:]
        is_end = torch.isin(out, torch.tensor(list(ends), device=device))
        never = out.shape[1] + 1
        length = torch.where(is_end.any(1), is_end.int().argmax(1) + 1, never)
        if stops is not None and stops.lengths is not None:
            length = torch.minimum(length, torch.where(stops.lengths > 0, stops.lengths, never))
        rows = zip(out.tolist(), length.tolist(), strict=True)
        return [Sample(ids=row[:n], truncated=n == never) for row, n in rows]


class Untrained(HuggingFace):
    """The same seam around a model that nobody trains: what is sampled before any RL (label, align, probe, baseline).

    `dtype` is that of the computation, as in the cell's model choice; what comes out is what the cell's first
    evaluation samples from the same seeds.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, device: torch.device, dtype: str, stop: list[str], batch: int | None
    ) -> None:
        super().__init__(None, stop=stop, batch=batch)
        self.model, self.tokenizer = model.to(device).eval(), tokenizer
        self.device, self.dtype = device, getattr(torch, dtype)

    @contextmanager
    def _model(self) -> Iterator[Any]:
        mixed = self.dtype != torch.float32
        with torch.no_grad(), torch.autocast(self.device.type, dtype=self.dtype if mixed else None, enabled=mixed):
            yield self.model

    def _host(self) -> tuple[Any, Any, Sequence[int]]:
        return self.tokenizer, self.device, self.model.generation_config.eos_token_id
