"""How a question becomes a prompt of token ids: the templates by name, and BOS once or not at all.

    render("What is 2+3?", tokenizer=tokenizer, template="chat")      # [151644, 8948, ...]

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
    """Either a chat (the tokenizer's chat template, with this system message) or plain text around the question."""

    chat: bool
    system: str | None = None
    before: str = ""
    after: str = ""


# The r1 style is that of arXiv 2506.10947's base models, with true newlines; pair it with the stop string "</answer>".
TEMPLATES: dict[str, Template] = {
    "chat": Template(chat=True),
    "chat_boxed": Template(chat=True, system="Please reason step by step, and put your final answer within \\boxed{}."),
    "r1": Template(
        chat=False,
        before="A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
        "The assistant first thinks about the reasoning process in the mind and then provides the user with the "
        "answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, "
        "respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>.\n\n<|user|>\n",
        after="\n<|assistant|>\n<think>",
    ),
    "raw": Template(chat=False),
}


def render(prompt: str, *, tokenizer: "PreTrainedTokenizerBase", template: str) -> list[int]:
    """The token ids of one prompt. UserError: an unknown template, or one that this tokenizer cannot do."""
    return render_all([prompt], tokenizer=tokenizer, template=template)[0]


def render_all(prompts: Sequence[str], *, tokenizer: "PreTrainedTokenizerBase", template: str) -> list[list[int]]:
    """The token ids of many prompts, tokenized in one batch. UserError as `render`."""
    texts = render_texts(prompts, tokenizer=tokenizer, template=template)
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]  # pyright: ignore
    bos = tokenizer.bos_token_id
    if not isinstance(bos, int):
        return encoded
    want = None if TEMPLATES[template].chat else adds_bos(tokenizer)
    return [_with_bos(ids, bos=bos, want=want) for ids in encoded]


def render_texts(prompts: Sequence[str], *, tokenizer: "PreTrainedTokenizerBase", template: str) -> list[str]:
    """The prompts as text, before tokenizing; a chat template's own special tokens are in it."""
    if template not in works_with(tokenizer):
        what = "needs a chat template and the tokenizer has none" if template in TEMPLATES else "is unknown"
        raise UserError(f"model.template: {template!r} {what}; write {' or '.join(works_with(tokenizer))}")
    form = TEMPLATES[template]
    if not form.chat:
        return [form.before + prompt + form.after for prompt in prompts]
    from jinja2 import TemplateError

    opening = [] if form.system is None else [{"role": "system", "content": form.system}]
    chats = [[*opening, {"role": "user", "content": prompt}] for prompt in prompts]
    try:
        return [str(tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True)) for c in chats]
    except TemplateError as error:
        others = " or ".join(name for name in works_with(tokenizer) if name != template)
        raise UserError(
            f"model.template: {template!r}: the chat template refuses it ({error}); write {others}"
        ) from None


def works_with(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """The templates that can be used with a tokenizer: those for chats need its chat template."""
    return [name for name, form in TEMPLATES.items() if tokenizer.chat_template or not form.chat]


def adds_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tokenizer by itself puts BOS before plain text (Llama does, Qwen2 has none, OLMo 2 does not)."""
    return tokenizer.bos_token_id is not None and tokenizer.encode("0")[:1] == [tokenizer.bos_token_id]


def _with_bos(ids: list[int], *, bos: int, want: bool | None) -> list[int]:
    """BOS once if wanted, none if not; None leaves it as the chat template has it, but not twice."""
    body = 0
    while body < len(ids) and ids[body] == bos:
        body += 1
    if want is None:
        want = body > 0
    return [bos] * want + ids[body:]
