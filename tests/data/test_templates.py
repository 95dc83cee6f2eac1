"""Prompts as token ids, by the conventions of the families: the papers' texts, BOS where it belongs and once, end
tokens, and a response that is made to begin in a certain way."""

import pytest
import yaml
from transformers import PreTrainedTokenizerFast

from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.data.prompts import prepare
from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.templates import TEMPLATES, needs_chat, render, render_all, render_texts, respond, turn_end
from rlvr_sweep.errors import UserError
from tests.data.families import BOXED, OLMO, bpe, llama, olmo, qwen

QUESTION = "What is 2+3?"
CHATS = [name for name, form in TEMPLATES.items() if form.chat]


def odd(*, opens: str | None = None, closes: str | None = None, chat: str) -> PreTrainedTokenizerFast:
    """An OLMo 2 whose post-processor, or chat template, is another."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe(["<bos>", "<eos>"], opens=opens, closes=closes), bos_token="<bos>", eos_token="<eos>"
    )
    made.chat_template = chat
    return made


FAMILIES = {  # a tokenizer, its BOS, and how often that is in plain text and in a chat
    "qwen2.5": (qwen(), None, 0, 0),
    "llama 3 instruct": (llama(), "<|begin_of_text|>", 1, 1),
    "llama 3": (llama(chat=False), "<|begin_of_text|>", 1, 1),
    "olmo 2 sft": (olmo(), "<|endoftext|>", 0, 1),
    "olmo 2": (olmo(chat=False), "<|endoftext|>", 0, 0),
    "a chat template without BOS": (odd(opens="<bos>", chat=OLMO.replace("{{ bos_token }}", "")), "<bos>", 1, 0),
    "a chat template that says BOS twice": (odd(opens="<bos>", chat="<bos>" + OLMO), "<bos>", 1, 1),
    "text that ends with EOS": (odd(opens="<bos>", closes="<eos>", chat=OLMO), "<bos>", 1, 1),
}


@pytest.mark.parametrize("prefix", [None, "Let's solve this using Python."], ids=["free", "forced"])
@pytest.mark.parametrize(
    ("family", "template"),
    [(name, t) for name, (made, *_) in FAMILIES.items() for t in TEMPLATES if made.chat_template or not needs_chat(t)],
)
def test_bos_is_where_the_family_has_it_and_once(family: str, template: str, prefix: str | None) -> None:
    tokenizer, bos, in_text, in_chat = FAMILIES[family]
    ids = render(QUESTION, tokenizer=tokenizer, template=template, prefix=prefix)
    if bos:
        wanted = in_chat if needs_chat(template) else in_text
        mark = tokenizer.convert_tokens_to_ids(bos)
        assert ids.count(mark) == wanted
        assert (ids[0] == mark) == bool(wanted)
    text = tokenizer.decode(ids)
    assert text.endswith(prefix or ("assistant\n", "assistant|>\n", "<|end_header_id|>\n\n", "<think>", QUESTION))
    assert "<eos>" not in text


def special(text: str, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def test_qwen_as_token_ids() -> None:
    tokenizer = qwen(system=BOXED)  # as Qwen2.5-Math's template has it
    start, end = map(tokenizer.get_vocab().__getitem__, ["<|im_start|>", "<|im_end|>"])
    turn, newline = [start, *special("user\n", tokenizer)], special("\n", tokenizer)
    expected = [start, *special(f"system\n{BOXED}", tokenizer), end, *newline, *turn, *special(QUESTION, tokenizer)]
    expected += [end, *newline, start, *special("assistant\n", tokenizer)]
    assert render(QUESTION, tokenizer=tokenizer, template="chat") == expected
    assert render(QUESTION, tokenizer=tokenizer, template="chat_boxed") == expected  # the papers' default, spelled out


def test_llama_as_token_ids() -> None:
    tokenizer = llama()
    bos, start, end, eot = map(
        tokenizer.get_vocab().__getitem__,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    )

    def turn(role: str, text: str) -> list[int]:
        return [start, *special(role, tokenizer), end, *special(f"\n\n{text}", tokenizer)]

    said = turn("system", "Today Date: 26 Jul 2024\n\n"), turn("user", QUESTION), turn("assistant", "")
    assert render(QUESTION, tokenizer=tokenizer, template="chat") == [bos, *said[0], eot, *said[1], eot, *said[2]]
    assert render(QUESTION, tokenizer=tokenizer, template="raw") == [bos, *special(QUESTION, tokenizer)]


def test_olmo_as_token_ids() -> None:
    tokenizer = olmo()
    chat = special(f"<|user|>\n{QUESTION}\n<|assistant|>\n", tokenizer)
    assert render(QUESTION, tokenizer=tokenizer, template="chat") == [tokenizer.bos_token_id, *chat]
    assert render(QUESTION, tokenizer=tokenizer, template="raw") == special(QUESTION, tokenizer)


def said(template: str, *, tokenizer: PreTrainedTokenizerFast | None = None) -> tuple[str, str]:
    """(system, user) of a Qwen chat."""
    [text] = render_texts(["{}"], tokenizer=tokenizer or qwen(), template=template)
    system, user, _ = text.split("<|im_start|>")[1:]
    return system.removeprefix("system\n")[: -len("<|im_end|>\n")], user.removeprefix("user\n")[: -len("<|im_end|>\n")]


def test_the_papers_prompts() -> None:
    """spurious_rewards, 6.8; a question in the place of {}."""
    table = {name: said(name) for name in CHATS}
    assert table["chat"] == ("You are a helpful assistant.", "{}")
    assert table["chat_boxed"] == (BOXED, "{}")
    assert table["math_problem"] == ("You are a helpful Assistant.", "Math Problem: {}")
    assert table["simplerl_zoo"] == ("You are a helpful Assistant.", f"{{}}\n{BOXED}")
    system, user = table["sober"]
    assert system == "You are a helpful assistant."  # the chat template's own
    assert "'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' (without quotes)" in user
    assert user.endswith("Think step by step before answering.\n\n{}")
    system, user = table["lorem_ipsum"]
    assert system == "Lorem ipsum dolor sit amet, consectetuer adipiscing elit."
    assert user.startswith("Ut purus elit, vestibulum ut, placerat") and user.endswith("tortor gravida placerat.\n\n{}")
    assert table["think_answer"][1].endswith("here </think> <answer> answer here</answer>.\n\n{}")
    assert table["one_shot_rlvr"][1] == "{} Let's think step by step and output the final answer within \\boxed{}."
    assert (table["rlvr_decomposed"][1], table["ttrl"][1]) == (f"{{}}\n{BOXED}", f"{{}}\n\n{BOXED}")


def test_the_r1_style_with_newlines_and_as_the_shell_passed_it() -> None:
    [true], [literal] = (render_texts(["2+3?"], tokenizer=qwen(), template=name) for name in ("r1", "r1_literal"))
    assert true.startswith("A conversation between User and Assistant. The user asks a question, and the ")
    assert true.endswith("<answer> answer here </answer>.\n\n<|user|>\n2+3?\n<|assistant|>\n<think>")
    assert "\n" not in literal
    assert literal == true.replace("\n", "\\n")


def test_braces_and_percent_signs_of_a_question_stay() -> None:
    question = "What is {x} of 5% in $\\frac{1}{2}$ {{ y }}?"
    for name in TEMPLATES:
        assert question in qwen().decode(render(question, tokenizer=qwen(), template=name))


def test_templates_that_cannot_work_name_those_that_do() -> None:
    plain = llama(chat=False)
    for template in (*CHATS, "nonsense"):
        with pytest.raises(UserError, match="write r1 or r1_literal or raw"):
            render("2+3?", tokenizer=plain, template=template)
    refusing = olmo()
    refusing.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    )
    with pytest.raises(UserError, match=r"no system role.*write chat or sober or newline"):
        render("2+3?", tokenizer=refusing, template="chat_boxed")


@pytest.mark.parametrize(
    ("tokenizer", "end"),
    [(qwen(), "<|im_end|>"), (llama(), "<|eot_id|>"), (olmo(), "<|endoftext|>"), (llama(chat=False), None)],
    ids=["qwen", "llama", "olmo", "no chat template"],
)
def test_what_a_chat_template_ends_a_turn_with(tokenizer: PreTrainedTokenizerFast, end: str | None) -> None:
    assert turn_end(tokenizer) == end


def test_a_forced_start_is_of_the_prompt_and_of_the_response() -> None:
    free, forced = (render_texts(["2+3?"], tokenizer=qwen(), template="chat", prefix=p)[0] for p in (None, "Let's"))
    assert forced == free + "Let's"
    assert respond("Let's", " see.") == "Let's see."
    assert respond(None, " see.") == " see."


def test_a_batch_is_its_single_prompts() -> None:
    prompts = [QUESTION, "What?", "é∑"]
    for template in ("chat", "r1"):
        singly = [render(prompt, tokenizer=llama(), template=template, prefix="So") for prompt in prompts]
        assert render_all(prompts, tokenizer=llama(), template=template, prefix="So") == singly


def test_too_long_prompts_are_dropped_and_counted() -> None:
    rows = [Row(id=str(n), prompt="#" * n, answer="1") for n in (3, 9, 5)]
    ready = prepare(rows, tokenizer=qwen(), template="raw", max_prompt_tokens=5, key="data")
    assert [row.id for row in ready.rows] == ["3", "5"] and [len(ids) for ids in ready.ids] == [3, 5]
    assert (ready.dropped, ready.longest) == (1, 5)
    with pytest.raises(UserError, match=r"all 3 prompts .*algo.max_prompt_tokens=3 or more \(9 keeps all\)"):
        prepare(rows, tokenizer=qwen(), template="raw", max_prompt_tokens=2, key="data")
    forced = prepare(rows, tokenizer=qwen(), template="raw", max_prompt_tokens=5, key="data", prefix="##")
    assert [row.id for row in forced.rows] == ["3", "5"][:1], "the forced start takes its room"


@pytest.mark.parametrize("name", groups(conf_dir())["model"])
def test_the_shipped_models_name_templates_that_exist(name: str) -> None:
    model = yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text())
    assert model["template"] in model["templates"] and set(model["templates"]) <= set(TEMPLATES)
    if "chat_boxed" in model["templates"]:  # a full-size chat model may be asked in every way
        assert set(TEMPLATES) - {"newline"} <= set(model["templates"])
    if model.get("end"):
        assert model["turn_end"] in model["stop_tokens"]
    if TEMPLATES[model["template"]].end:
        assert TEMPLATES[model["template"]].end in model["stop"]
