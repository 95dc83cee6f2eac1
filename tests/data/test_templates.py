"""Prompts as token ids, by the conventions of the families: BOS where it belongs, once; the templates that work."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rlvr_sweep.data.prompts import prepare
from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.templates import TEMPLATES, render, render_all
from rlvr_sweep.errors import UserError

TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
SPECIAL = ["<bos>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>"]


def tokenizer(*, bos: bool = True, adds: bool = False, chat: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE; `adds`: its own post-processor puts BOS before plain text, and EOS after it."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(["What is 2+3?"], trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet))
    if adds:
        raw.post_processor = processors.TemplateProcessing(
            single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", **({"bos_token": "<bos>"} if bos else {}))
    made.chat_template = chat
    return made


FAMILIES = {
    "qwen2: no BOS": (tokenizer(bos=False, chat=TURNS), 0, 0),
    "llama: BOS in text and chat": (tokenizer(adds=True, chat="{{ bos_token }}" + TURNS), 1, 1),
    "llama, chat template without BOS": (tokenizer(adds=True, chat=TURNS), 1, 0),
    "olmo2: BOS in the chat only": (tokenizer(chat="{{ bos_token }}" + TURNS), 0, 1),
    "a chat template that says BOS twice": (tokenizer(adds=True, chat="<bos>{{ bos_token }}" + TURNS), 1, 1),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_bos_is_where_the_family_has_it_and_once(family, template):
    made, in_text, in_chat = FAMILIES[family]
    ids = render("What is 2+3?", tokenizer=made, template=template)
    wanted = in_chat if TEMPLATES[template].chat else in_text
    assert ids.count(0) == wanted and ids[:1] == ([0] if wanted else ids[:1])
    assert ids[-1] != 1, "a prompt must not end with EOS"
    assert "What is 2+3?" in made.decode(ids)


def test_what_each_template_says():
    made = tokenizer(chat=TURNS)
    said = {name: str(made.decode(render("2+3?", tokenizer=made, template=name))) for name in TEMPLATES}
    assert said["raw"] == "2+3?"
    assert said["chat"] == "<|user|>2+3?<|assistant|>"
    boxed = "Please reason step by step, and put your final answer within \\boxed{}."
    assert said["chat_boxed"] == f"<|system|>{boxed}<|user|>2+3?<|assistant|>"
    assert said["r1"].startswith("A conversation between User and Assistant. The user asks a question, and the ")
    assert said["r1"].endswith("<answer> answer here </answer>.\n\n<|user|>\n2+3?\n<|assistant|>\n<think>")
    assert "\\n" not in said["r1"]


def test_braces_and_percent_signs_of_a_question_stay():
    made = tokenizer(chat=TURNS)
    question = "What is {x} of 5% in $\\frac{1}{2}$ {{ y }}?"
    assert all(question in made.decode(render(question, tokenizer=made, template=name)) for name in TEMPLATES)


def test_templates_that_cannot_work_name_those_that_do():
    plain = tokenizer()
    for template in ("chat", "chat_boxed", "nonsense"):
        with pytest.raises(UserError, match="write r1 or raw"):
            render("2+3?", tokenizer=plain, template=template)
    with pytest.raises(UserError, match=r"no system role.*write chat or r1 or raw"):
        render("2+3?", tokenizer=tokenizer(chat=NO_SYSTEM + TURNS), template="chat_boxed")


def test_a_batch_is_its_single_prompts():
    made = tokenizer(adds=True, chat=TURNS)
    prompts = ["What is 2+3?", "What?", "é∑"]
    assert render_all(prompts, tokenizer=made, template="r1") == [
        render(prompt, tokenizer=made, template="r1") for prompt in prompts
    ]


def test_too_long_prompts_are_dropped_and_counted():
    made = tokenizer()
    rows = [Row(id=str(n), prompt="#" * n, answer="1") for n in (3, 9, 5)]
    ready = prepare(rows, tokenizer=made, template="raw", max_prompt_tokens=5, key="data")
    assert [row.id for row in ready.rows] == ["3", "5"] and [len(ids) for ids in ready.ids] == [3, 5]
    assert (ready.dropped, ready.longest) == (1, 5)
    with pytest.raises(UserError, match=r"all 3 prompts .*algo.max_prompt_tokens=3 or more \(9 keeps all\)"):
        prepare(rows, tokenizer=made, template="raw", max_prompt_tokens=2, key="data")
