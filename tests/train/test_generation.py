"""Sampling: end tokens, stop strings, seeds; on a lab model, through the trainer's own seam."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train.generation import HuggingFace, Sampling


@pytest.fixture(scope="module")
def trainer() -> Any:
    """What a backend needs of a trainer, around a lab model."""
    torch.set_num_threads(1)
    folder = model_dir("qwen_math")
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder)
    return SimpleNamespace(
        accelerator=Accelerator(cpu=True),
        model_wrapped=model,
        processing_class=tokenizer,
        eos_token_ids=[tokenizer.eos_token_id],
        args=SimpleNamespace(ds3_gather_for_generation=True, gradient_checkpointing_kwargs=None),
    )


def prompts(trainer: Any, *questions: str) -> list[list[int]]:
    tokenizer = trainer.processing_class
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": q}], tokenize=False, add_generation_prompt=True)
        for q in questions
    ]
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def test_a_completion_ends_with_its_end_token_and_no_padding(trainer: Any) -> None:
    backend = HuggingFace(trainer, stop=[], batch=None)
    samples = backend.generate(
        prompts(trainer, *[f"What is {a}+45?" for a in range(10, 26)]), Sampling(64, 1.0), seed=1
    )
    pad, end = trainer.processing_class.pad_token_id, trainer.processing_class.eos_token_id
    assert len({len(s.ids) for s in samples}) > 1, "all of one length: padding could not show"
    for sample in samples:
        assert pad not in sample.ids
        assert sample.truncated or (sample.ids[-1] == end and end not in sample.ids[:-1])


def test_a_short_limit_truncates(trainer: Any) -> None:
    [sample] = HuggingFace(trainer, stop=[], batch=None).generate(
        prompts(trainer, "What is 1+1?"), Sampling(5, 0), seed=1
    )
    assert sample.truncated
    assert len(sample.ids) == 5


def test_a_stop_string_ends_a_completion_and_stays_in_it(trainer: Any) -> None:
    questions = prompts(trainer, *[f"What is {a}+45?" for a in range(10, 26)])
    free = HuggingFace(trainer, stop=[], batch=None).generate(questions, Sampling(64, 1.0), seed=1)
    stopped = HuggingFace(trainer, stop=["=1"], batch=None).generate(questions, Sampling(64, 1.0), seed=1)
    decode = trainer.processing_class.decode
    texts = [decode(s.ids) for s in stopped]
    assert any(text.endswith("=1") for text in texts)
    for text, sample, other in zip(texts, stopped, free, strict=True):
        assert text.count("=1") == text.endswith("=1")
        assert not (text.endswith("=1") and sample.truncated)
        if not text.endswith("=1"):
            assert sample == other  # the rest is sampled as without a stop string


def test_a_seed_decides_and_the_global_generator_does_not_notice(trainer: Any) -> None:
    backend, questions = HuggingFace(trainer, stop=[], batch=4), prompts(trainer, *["What is 12+45?"] * 8)
    before = torch.random.get_rng_state()
    first = backend.generate(questions, Sampling(64, 1.0), seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert backend.generate(questions, Sampling(64, 1.0), seed=1) == first
    assert backend.generate(questions, Sampling(64, 1.0), seed=2) != first
    assert len({tuple(s.ids) for s in first}) > 1, "copies of a prompt are sampled apart"


def test_greedy_needs_no_seed_and_no_batch(trainer: Any) -> None:
    questions = prompts(trainer, "What is 12+45?", "What is 98+7?", "What is 31+31?")
    one = HuggingFace(trainer, stop=[], batch=1).generate(questions, Sampling(64, 0), seed=1)
    all_at_once = HuggingFace(trainer, stop=[], batch=None).generate(questions, Sampling(64, 0), seed=2)
    assert one == all_at_once
