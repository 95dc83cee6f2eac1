"""How a question becomes a prompt of token ids: the templates by name, a forced start of the response, and BOS once or
not at all.

    render("What is 2+3?", tokenizer=tokenizer, template="chat")                                # [151644, 8948, ...]
    render("What is 2+3?", tokenizer=tokenizer, template="chat", prefix="Let's solve this using Python.")

Whether a prompt opens with BOS is the tokenizer's own convention for plain text, and the chat template's for a chat; it
is never there twice (the paper's released code trained base Llamas without and evaluated them with it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Template:
    """Text around the question; in a chat that is the user's turn, after this system message (None: what the
    tokenizer's chat template says by itself). `end`: the stop string that its responses end with."""

    chat: bool
    system: str | None = None
    before: str = ""
    after: str = ""
    end: str | None = None


_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
_HELPFUL = "You are a helpful Assistant."
_SOBER = (
    "Solve the following math problem efficiently and clearly. The last line of your response should be of the "
    "following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' (without quotes) "
    "where ANSWER is just the final number or expression that solves the problem. Think step by step before "
    "answering.\n\n"
)
_LOREM = (
    "Ut purus elit, vestibulum ut, placerat ac, adipiscing vitae, felis. Curabitur dictum gravida mauris. Nam arcu "
    "libero, nonummy eget, consectetuer id, vulputate a, magna. Donec vehicula augue eu neque. Pellentesque habitant "
    "morbi tristique senectus et netus et malesuada fames ac turpis egestas. Mauris ut leo. Cras viverra metus rhoncus "
    "sem. Nulla et lectus vestibulum urna fringilla ultrices. Phasellus eu tellus sit amet tortor gravida placerat.\n\n"
)
_THINK_ANSWER = (
    "Solve the following problem step by step. First, think about the reasoning process in the mind and then provide "
    "the answer. The reasoning process is enclosed within <think> </think> and the final answer is enclosed within "
    "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here</answer>"
    ".\n\n"
)
_R1 = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the "
    "answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, "
    "respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>."
)

TEMPLATES: dict[str, Template] = {
    # The tokenizer's chat template and nothing else. Qwen2.5-Math's holds the system message of chat_boxed by itself.
    "chat": Template(chat=True),
    # arXiv 2506.10947, tables 4 and 5: "Default", "MathProblem", "SimpleRL-Zoo", "Sober", "Spurious".
    "chat_boxed": Template(chat=True, system=_BOXED),
    "math_problem": Template(chat=True, system=_HELPFUL, before="Math Problem: "),
    "simplerl_zoo": Template(chat=True, system=_HELPFUL, after=f"\n{_BOXED}"),
    "sober": Template(chat=True, before=_SOBER),
    "lorem_ipsum": Template(
        chat=True, system="Lorem ipsum dolor sit amet, consectetuer adipiscing elit.", before=_LOREM
    ),
    # A spurious prompt for the lab, whose models know one prompt and no system role: any word more, and they are lost.
    "newline": Template(chat=True, before="\n"),
    # arXiv 2508.21188, for math and logic alike; and the suffixes of the works that it tests again.
    "think_answer": Template(chat=True, before=_THINK_ANSWER),
    "one_shot_rlvr": Template(
        chat=True, after=" Let's think step by step and output the final answer within \\boxed{}."
    ),  # arXiv 2504.20571
    "rlvr_decomposed": Template(chat=True, after=f"\n{_BOXED}"),  # arXiv 2506.01347
    "ttrl": Template(chat=True, after=f"\n\n{_BOXED}"),  # arXiv 2504.16084, for Llama
    # The base models of arXiv 2506.10947: with true newlines, as its offline evaluation had them, and with a backslash
    # and an n in their place, as its training scripts passed them through the shell.
    "r1": Template(chat=False, before=f"{_R1}\n\n<|user|>\n", after="\n<|assistant|>\n<think>", end="</answer>"),
    "r1_literal": Template(
        chat=False, before=f"{_R1}\\n\\n<|user|>\\n", after="\\n<|assistant|>\\n<think>", end="</answer>"
    ),
    "raw": Template(chat=False),  # the question alone
}

# Llama 3.2's chat template and others put the day of the run into the prompt. Here it is always the one that Llama 3.1
# has by itself, 26 Jul 2024: the same cell has the same prompts on every day.
_TODAY = (
    "{%- macro strftime_now(format) -%}{{ format | replace('%d', '26') | replace('%b', 'Jul') | replace('%B', 'July')"
    " | replace('%m', '07') | replace('%Y', '2024') }}{%- endmacro -%}"
)
_WORD = "rlvr"  # stands for a response where only what is behind it matters


def needs_chat(template: str) -> bool:
    """Whether a template needs the tokenizer's chat template; an unknown one does not."""
    return template in TEMPLATES and TEMPLATES[template].chat


def asks_for_tags(template: str | None) -> bool:
    """Whether a template wants the answer in <answer> tags."""
    return template in TEMPLATES and "<answer>" in TEMPLATES[template].before


def opens_thought(template: str) -> bool:
    """Whether a template's prompts end in <think>, which is then no part of the response."""
    return template in TEMPLATES and TEMPLATES[template].after.endswith("<think>")


def render(prompt: str, *, tokenizer: "PreTrainedTokenizerBase", template: str, prefix: str | None = None) -> list[int]:
    """The token ids of one prompt. UserError: an unknown template, or one that this tokenizer cannot do."""
    return render_all([prompt], tokenizer=tokenizer, template=template, prefix=prefix)[0]


def render_all(
    prompts: Sequence[str], *, tokenizer: "PreTrainedTokenizerBase", template: str, prefix: str | None = None
) -> list[list[int]]:
    """The token ids of many prompts, tokenized in one batch. UserError as `render`.

    `prefix` is the forced start of every response: it is tokenized with the prompt, so that it is generated from and
    never trained on. What reads the response (rewards, code frequency, evaluations, the record) sees it: `respond`.
    """
    texts = render_texts(prompts, tokenizer=tokenizer, template=template, prefix=prefix)
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]  # pyright: ignore
    bos = tokenizer.bos_token_id
    if not isinstance(bos, int):
        return encoded
    want = None if TEMPLATES[template].chat else adds_bos(tokenizer)
    return [_with_bos(ids, bos=bos, want=want) for ids in encoded]


def respond(prefix: str | None, continuation: str) -> str:
    """The whole response: its forced start, if any, and what the model wrote behind it."""
    return (prefix or "") + continuation


def render_texts(
    prompts: Sequence[str], *, tokenizer: "PreTrainedTokenizerBase", template: str, prefix: str | None = None
) -> list[str]:
    """The prompts as text, before tokenizing; a chat template's own special tokens are in it."""
    if template not in works_with(tokenizer):
        what = "needs a chat template and the tokenizer has none" if template in TEMPLATES else "is unknown"
        raise UserError(f"model.template: {template!r} {what}; write {' or '.join(works_with(tokenizer))}")
    form = TEMPLATES[template]
    users = [form.before + prompt + form.after for prompt in prompts]
    if form.chat:
        users = _chats(users, form.system, tokenizer=tokenizer, template=template)
    return [text + (prefix or "") for text in users]


def _chats(users: list[str], system: str | None, *, tokenizer: "PreTrainedTokenizerBase", template: str) -> list[str]:
    from jinja2 import TemplateError

    opening = [] if system is None else [{"role": "system", "content": system}]
    chats = [[*opening, {"role": "user", "content": user}] for user in users]
    try:
        return [_chat(chat, tokenizer=tokenizer, add_generation_prompt=True) for chat in chats]
    except TemplateError as error:
        others = [name for name in works_with(tokenizer) if TEMPLATES[name].system is None and name != template]
        raise UserError(
            f"model.template: {template!r}: the chat template refuses it ({error}); write {' or '.join(others)}"
        ) from None


def _chat(turns: list[dict[str, str]], *, tokenizer: "PreTrainedTokenizerBase", add_generation_prompt: bool) -> str:
    template = tokenizer.get_chat_template()
    if "strftime_now" in template:
        template = _TODAY + template
    return str(
        tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    )


def works_with(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """The templates that can be used with a tokenizer: those for chats need its chat template."""
    return [name for name, form in TEMPLATES.items() if tokenizer.chat_template or not form.chat]


def adds_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tokenizer by itself puts BOS before plain text (Llama does, Qwen2 has none, OLMo 2 does not)."""
    return tokenizer.bos_token_id is not None and tokenizer.encode("0")[:1] == [tokenizer.bos_token_id]


def turn_end(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The token that the chat template puts behind a response, or None where there is no such token.

    A base model's own end token can be another one: Qwen2.5's is <|endoftext|>, its chat template's <|im_end|>. A model
    that has learned the template then writes on behind its answer.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "0"}, {"role": "assistant", "content": _WORD}]
    _, _, behind = _chat(turns, tokenizer=tokenizer, add_generation_prompt=False).rpartition(_WORD)
    ids = tokenizer.encode(behind, add_special_tokens=False)
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return str(tokenizer.convert_ids_to_tokens(ids[0])) if ids and ids[0] in special else None


def _with_bos(ids: list[int], *, bos: int, want: bool | None) -> list[int]:
    """BOS once if wanted, none if not; None leaves it as the chat template has it, but not twice."""
    body = 0
    while body < len(ids) and ids[body] == bos:
        body += 1
    if want is None:
        want = body > 0
    return [bos] * want + ids[body:]
