"""Sampling: end tokens, stop strings, seeds; on a lab model, through the trainer's own seam."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicLayer

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.train import generation
from rlvr_sweep.train.generation import HuggingFace, Sampling, _Draws
from rlvr_sweep.train.model import load


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


def seeds(count: int, first: int = 0) -> list[int]:
    return list(range(first, first + count))


def test_a_completion_ends_with_its_end_token_and_no_padding(trainer: Any) -> None:
    backend = HuggingFace(trainer, stop=[], batch=None)
    questions = prompts(trainer, *[f"What is {a}+45?" for a in range(10, 26)])
    samples = backend.generate(questions, Sampling(64, 1.0), seeds=seeds(16))
    pad, end = trainer.processing_class.pad_token_id, trainer.processing_class.eos_token_id
    assert len({len(s.ids) for s in samples}) > 1, "all of one length: padding could not show"
    for sample in samples:
        assert pad not in sample.ids
        assert sample.truncated or (sample.ids[-1] == end and end not in sample.ids[:-1])


def test_no_token_copies_what_is_in_the_cache(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def copies(*given: Any) -> None:
        raise AssertionError("transformers' own layer")

    monkeypatch.setattr(DynamicLayer, "update", copies)
    samples = HuggingFace(trainer, stop=[], batch=None).generate(
        prompts(trainer, "What is 1+1?", "What is 12+1?"), Sampling(5, 1.0), seeds=[1, 2]
    )
    assert len(samples) == 2


def test_a_short_limit_truncates(trainer: Any) -> None:
    [sample] = HuggingFace(trainer, stop=[], batch=None).generate(
        prompts(trainer, "What is 1+1?"), Sampling(5, 0), seeds=[1]
    )
    assert sample.truncated
    assert len(sample.ids) == 5


def test_a_stop_string_ends_a_completion_and_stays_in_it(trainer: Any) -> None:
    questions = prompts(trainer, *[f"What is {a}+45?" for a in range(10, 26)])
    free = HuggingFace(trainer, stop=[], batch=None).generate(questions, Sampling(64, 1.0), seeds=seeds(len(questions)))
    stopped = HuggingFace(trainer, stop=["=1"], batch=None).generate(
        questions, Sampling(64, 1.0), seeds=seeds(len(questions))
    )
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
    first = backend.generate(questions, Sampling(64, 1.0), seeds=seeds(8))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert backend.generate(questions, Sampling(64, 1.0), seeds=seeds(8)) == first
    assert backend.generate(questions, Sampling(64, 1.0), seeds=seeds(8, first=8)) != first
    assert len({tuple(s.ids) for s in first}) > 1, "copies of a prompt are sampled apart"


def test_a_completion_depends_on_its_own_seed_only(trainer: Any) -> None:
    questions = prompts(trainer, *[f"What is {a}+45?" for a in range(10, 22)])
    together = HuggingFace(trainer, stop=[], batch=None).generate(questions, Sampling(64, 1.0), seeds=seeds(12))
    apart = HuggingFace(trainer, stop=[], batch=5).generate(questions[::-1], Sampling(64, 1.0), seeds=seeds(12)[::-1])
    assert apart[::-1] == together


def test_draws_follow_the_softmax(trainer: Any) -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2]))
    for temperature, expected in ((1.0, [0.5, 0.3, 0.2]), (0.5, [25 / 38, 9 / 38, 4 / 38])):
        draws = _Draws(range(20_000), Sampling(1, temperature), torch.device("cpu"))
        chosen = draws(None, logits.repeat(20_000, 1)).argmax(1)
        shares = torch.bincount(chosen, minlength=3) / 20_000
        assert shares.tolist() == pytest.approx(expected, abs=0.015)


def test_draws_ahead_follow_the_softmax_and_a_row_s_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "AHEAD", 8)  # two tokens of four words at a time, as on a GPU
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5])

    def tokens(rows: range, count: int) -> torch.Tensor:
        draws = _Draws(rows, Sampling(count, 1.0), torch.device("cpu"))
        draws._is_ahead = True
        return torch.stack([draws(None, logits.expand(len(rows), 4)).argmax(1) for _ in range(count)], dim=1)

    many = tokens(range(5_000), 5)
    for step in range(5):
        shares = torch.bincount(many[:, step], minlength=4) / 5_000
        assert torch.allclose(shares, logits.softmax(0), atol=0.03)
    assert (many[:, 0] == many[:, 1]).float().mean() < 0.5  # one token says nothing of the next
    assert tokens(range(7, 9), 5).tolist() == many[7:9].tolist()


def test_top_p_never_draws_from_the_tail() -> None:
    draws = _Draws(range(2_000), Sampling(1, 1.0, top_p=0.75), torch.device("cpu"))
    chosen = draws(torch.zeros(2_000, 1), torch.log(torch.tensor([0.5, 0.3, 0.2])).repeat(2_000, 1)).argmax(1)
    assert set(chosen.tolist()) == {0, 1}


def test_a_models_own_generation_settings_do_not_leak_in(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("qwen_math"), tmp_path / "model"))
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"repetition_penalty": 1.5, "min_p": 0.2}))
    [composed] = compose_or_refuse(["model=path", f"model.path={folder}"], multirun=False)
    model, tokenizer = load(composed.cell)
    assert model.generation_config.repetition_penalty in (None, 1.0)
    assert model.generation_config.min_p is None
    assert tokenizer.eos_token_id in model.generation_config.eos_token_id


def test_greedy_needs_no_seed_and_no_batch(trainer: Any) -> None:
    questions = prompts(trainer, "What is 12+45?", "What is 98+7?", "What is 31+31?")
    one = HuggingFace(trainer, stop=[], batch=1).generate(questions, Sampling(64, 0), seeds=seeds(3))
    all_at_once = HuggingFace(trainer, stop=[], batch=None).generate(
        questions, Sampling(64, 0), seeds=seeds(3, first=3)
    )
    assert one == all_at_once
