"""Loads a cell's model and tokenizer: weights in float32 (the master copy), end tokens, LoRA.

    model, tokenizer = load(cell)

bfloat16 is the dtype of the computation (autocast); the weights an optimizer updates stay in float32, since at a
learning rate of 5e-7 most updates would round away in bfloat16.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from rlvr_sweep.config.content import model_path
from rlvr_sweep.config.schema import Cell
from rlvr_sweep.data.hub import model_folder
from rlvr_sweep.errors import UserError
from rlvr_sweep.shapes.folder import ensure
from rlvr_sweep.shapes.table import name_in
from rlvr_sweep.train.loading import ERRORS, Misfit, causal_lm, first_line


def load_tokenizer(cell: Cell) -> Any:
    """The tokenizer, left-padding, with a pad token that is not the end token where one can be had."""
    where = folder(cell)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, padding_side="left")
    except ERRORS as error:
        raise UserError(f"model {where}: its tokenizer cannot be loaded ({first_line(error)}); {_hint(cell)}") from None
    if not tokenizer("1 + 1 = 2", add_special_tokens=False)["input_ids"]:  # transformers makes one without its files
        raise UserError(f"model {where}: its tokenizer knows no words; {_hint(cell)}")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise UserError(
            f"model {where}: its tokenizer has neither pad nor end token; set eos_token in tokenizer_config.json"
        )
    return tokenizer


def load(cell: Cell) -> tuple[Any, Any]:
    """(model, tokenizer). Raises UserError where they cannot be loaded, and for an unknown stop token."""
    where = folder(cell)
    tokenizer = load_tokenizer(cell)
    # cuDNN, which torch 2.11 seems to take first on an H200, plans its attention anew for each length it meets: for
    # every row of an update, and every token of generate(). vLLM has it off in its process too.
    torch.backends.cuda.enable_cudnn_sdp(False)
    # DeepSpeed makes the master copy itself, of its share of the weights.
    is_mastered = cell.model.lora is None and not cell.compute.zero
    dtype = torch.float32 if is_mastered else getattr(torch, cell.model.dtype)
    try:
        model = causal_lm(where, dtype=dtype, attn_implementation=cell.model.attention)
    except Misfit as error:
        raise UserError(f"model {where}: {error}; {_hint(cell)}") from None
    except ERRORS as error:
        raise UserError(f"model {where}: cannot be loaded ({first_line(error)}); {_hint(cell)}") from None
    # A config of our own: generate() fills what a call leaves open from the model's, a repetition penalty for one,
    # which the trainer's log-probs would know nothing of.
    model.generation_config = GenerationConfig(
        eos_token_id=_end_tokens(model.generation_config, tokenizer, cell),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return model, tokenizer


def facts(cell: Cell, tokenizer: Any) -> tuple[list[int], int]:
    """(end tokens, context length) of the cell's model, without its weights. UserError as `load`."""
    where = folder(cell)
    try:
        config = AutoConfig.from_pretrained(where)
    except ERRORS as error:
        raise UserError(f"model {where}: cannot be loaded ({first_line(error)}); {_hint(cell)}") from None
    try:
        generation = GenerationConfig.from_pretrained(where)
    except OSError:  # it has none, and its config says what ends it
        generation = GenerationConfig.from_model_config(config)
    return _end_tokens(generation, tokenizer, cell), cell.model.context or config.max_position_embeddings


def folder(cell: Cell) -> str:
    """Where the model's files lie, a Hub model's in its cache. UserError where they cannot be brought there.

    All is read from there and nothing by the Hub's name: TRL reads the reference model again, vLLM its weights, and
    neither is told the revision.
    """
    if (shape := name_in(cell.model.path)) is not None:
        ensure(shape)
    if (own := model_path(cell)) is not None:
        return str(own)
    try:
        return str(model_folder(str(cell.model.hub), cell.model.revision))
    except ERRORS as error:
        raise UserError(f"model {cell.model.hub}: cannot be loaded ({first_line(error)}); {_hint(cell)}") from None


def _hint(cell: Cell) -> str:
    if cell.model.hub:
        prefetch = f"python -m rlvr_sweep prefetch model={cell.model.name}"
        return f"bring it with `{prefetch}` on a node with network, or write model=path model.path=DIR"
    return "write model.path=DIR with a folder that `save_pretrained` made"


def _end_tokens(generation: GenerationConfig, tokenizer: Any, cell: Cell) -> list[int]:
    """The tokens that end a completion: the model's, the tokenizer's, and the cell's stop tokens (a Qwen base model
    ends with <|endoftext|>, while its chat template ends a turn with <|im_end|>)."""
    ends = generation.eos_token_id
    known = [ends] if isinstance(ends, int) else list(ends or [])
    if tokenizer.eos_token_id is not None:
        known.append(tokenizer.eos_token_id)
    vocabulary = tokenizer.get_vocab()
    for token in cell.model.stop_tokens:
        if token not in vocabulary:
            raise UserError(
                f"model.stop_tokens: {token!r} is not a token of {cell.model.name}; write one that is, or []"
            )
        known.append(vocabulary[token])
    return sorted(set(known))


def lora(cell: Cell) -> Any:
    """PEFT's LoraConfig, or None."""
    if cell.model.lora is None:
        return None
    from peft import LoraConfig

    choice = cell.model.lora
    return LoraConfig(
        r=choice.rank, lora_alpha=choice.alpha, lora_dropout=0.0, target_modules=choice.targets, task_type="CAUSAL_LM"
    )


def merged(cell: Cell, adapter: Path) -> Any:
    """The cell's base model, read again, with a saved adapter merged in. Where ZeRO-3 shards the weights, no rank holds
    a whole one to merge into."""
    from peft import PeftModel
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # or transformers would load shards, and wait for the other ranks to do so too
    return PeftModel.from_pretrained(load(cell)[0], str(adapter)).merge_and_unload()
