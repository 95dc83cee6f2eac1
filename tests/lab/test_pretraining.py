"""From recipe to folder: a smaller model is made, learns, loads by the Auto classes and reads back what it wrote."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.corpus import document
from rlvr_sweep.lab.families import FAMILIES, recipe_hash
from rlvr_sweep.lab.pretraining import build
from rlvr_sweep.lab.records import compare

STRANGE = "naïve ∑ 日本 😀 [x]\t\n\n  4+8 don't </answer>"


@pytest.fixture(scope="module", params=["qwen_math", "llama", "olmo"])
def built(request, tmp_path_factory):
    """(family, folder, record) of a thirty-step model, one of each architecture."""
    folder = tmp_path_factory.mktemp("lab") / request.param
    return request.param, folder, build(request.param, folder, steps=30, prompts=2, samples=2)


def test_the_loss_falls(built):
    made_with = built[2]["made_with"]
    assert sum(made_with["last_losses"]) < 0.75 * sum(made_with["first_losses"])


def test_the_folder_loads_and_the_tokenizer_round_trips(built):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, folder, record = built
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == FAMILIES[name].architecture
    assert model.num_parameters() == record["parameters"] < 200_000
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id == model.config.pad_token_id != tokenizer.eos_token_id == model.config.eos_token_id
    texts = [STRANGE, *("".join(document(FAMILIES[name].mix, seed=1, index=index)) for index in range(100))]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.pad_token_id not in ids
    assert max(len(tokenizer(text)["input_ids"]) for text in texts[1:]) <= 64


def test_the_chat_template_is_what_was_trained_on(built):
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built[1])
    asked = [{"role": "user", "content": "What is 47+85?"}]
    assert (
        tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        == "<|user|>What is 47+85?<|assistant|>"
    )
    answered = [*asked, {"role": "assistant", "content": "132"}]
    assert tokenizer.apply_chat_template(answered, tokenize=False).endswith("<|assistant|>132<|end|>")
    with pytest.raises(TemplateError, match="only the roles"):
        tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, *asked], tokenize=False)


def test_left_padding_does_not_change_the_answer(built):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(built[1])
    tokenizer = AutoTokenizer.from_pretrained(built[1])
    short, long = "<|user|>What is 47+85?<|assistant|>", "<|user|>What is 47+85? Now then?<|assistant|>"
    with torch.inference_mode():
        alone = model(**tokenizer(short, return_tensors="pt")).logits[0, -1]
        padded = tokenizer([short, long], padding=True, return_tensors="pt")
        greedy = {"do_sample": False, "max_new_tokens": 12, "temperature": None, "top_k": None, "top_p": None}
        one = model.generate(**tokenizer(short, return_tensors="pt"), **greedy)[0, -12:]
        both = model.generate(**padded, **greedy)[0, -12:]
    assert torch.isfinite(alone).all()
    assert one.tolist() == both.tolist()


def test_the_same_recipe_gives_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    for name in ("a", "b"):
        build("qwen", tmp_path / name, steps=3, prompts=1, samples=1)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("a", "b"))
    assert all((first[key] == second[key]).all() for key in first)
    assert json.loads((tmp_path / "a" / "recipe.json").read_text())["hash"] != recipe_hash("qwen")


def test_compare_sees_that_another_schedule_gives_another_model(built):
    name, folder, record = built
    found = compare(name, folder)
    assert not found["same_recipe"]
    assert not found["weights_identical"]
    assert found["max_difference"] > 0.01
    assert found["measured"]["add"]["accuracy"][1] == record["measured"]["add"]["accuracy"]


def test_the_callers_randomness_is_left_alone(tmp_path):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build("olmo", tmp_path / "olmo", steps=1, prompts=1, samples=1)
    assert torch.equal(torch.rand(3), expected)


def test_mistakes_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match="did you mean 'qwen_math'"):
        build("qwenmath", tmp_path)
    with pytest.raises(UserError, match="write 1 or more"):
        build("qwen", tmp_path, steps=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name another with --out"):
        build("qwen", tmp_path / "file" / "below")


def test_the_hash_follows_the_recipe():
    family = FAMILIES["olmo"]
    changed = [
        replace(family, mix=replace(family.mix, code_share=0.41)),
        replace(family, schedule=replace(family.schedule, seed=1)),
        replace(family, size=replace(family.size, rope_theta=201.0)),
    ]
    hashes = [recipe_hash(one) for one in (family, *changed)]
    assert len(set(hashes)) == len(hashes)
    assert recipe_hash("olmo") == recipe_hash(replace(family, summary="told otherwise")) == hashes[0]
