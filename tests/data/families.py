"""Tiny byte-level tokenizers with the special tokens and chat templates of the papers' families, in the same form."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

# Qwen2.5: no BOS; a system turn comes by itself; the base models end with <|endoftext|>, the template with <|im_end|>.
QWEN = (
    "{% if messages[0]['role'] == 'system' %}<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n"
    "{% else %}<|im_start|>system\nSYSTEM<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m['role'] != 'system' %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

# Llama 3.1 and 3.2: BOS in text and chat; a system turn with a date; 3.2 asks for today's.
LLAMA = (
    "{{ bos_token }}{% if date_string is not defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = 'unknown' %}{% endif %}{% endif %}"
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set said = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n{{ said }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)

# OLMo 2: BOS is <|endoftext|>, which is also its end token; in the chat only.
OLMO = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>\n{{ m['content'] }}"
    "{{ eos_token }}{% if not loop.last %}\n{% endif %}{% else %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def bpe(special: list[str], *, opens: str | None = None, closes: str | None = None) -> Tokenizer:
    """A byte-level BPE; its own post-processor puts `opens` before plain text and `closes` after it."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokens = [AddedToken(token, special=True) for token in special]
    raw.train_from_iterator(["What is 2+3?"], trainers.BpeTrainer(special_tokens=tokens, initial_alphabet=alphabet))
    around = [token for token in (opens, closes) if token]
    if around:
        single = " ".join(part for part in (opens, "$A", closes) if part)
        ids = [(token, raw.token_to_id(token)) for token in around]
        raw.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return raw


def qwen(*, system: str = "You are a helpful assistant.", chat: bool = True) -> PreTrainedTokenizerFast:
    raw = bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    made.chat_template = QWEN.replace("SYSTEM", system) if chat else None
    return made


def llama(*, chat: bool = True) -> PreTrainedTokenizerFast:
    raw = bpe(
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        opens="<|begin_of_text|>",
    )
    end = "<|eot_id|>" if chat else "<|end_of_text|>"
    made = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|begin_of_text|>", eos_token=end)
    made.chat_template = LLAMA if chat else None
    return made


def olmo(*, chat: bool = True) -> PreTrainedTokenizerFast:
    raw = bpe(["<|endoftext|>", "<|pad|>"])
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|pad|>"
    )
    made.chat_template = OLMO if chat else None
    return made
