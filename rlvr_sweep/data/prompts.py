"""Rows made ready for a model: rendered to token ids, those that are too long dropped and counted.

ready = prepare(rows, tokenizer=tokenizer, template="chat", max_prompt_tokens=1024, key="data")
ready.rows, ready.ids, ready.dropped
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlvr_sweep.data.rows import Row
from rlvr_sweep.data.templates import render_all
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prepared:
    """Rows and each one's token ids (no padding); how many rows were too long; the longest kept, in tokens."""

    rows: list[Row]
    ids: list[list[int]]
    dropped: int
    longest: int


def prepare(
    rows: Sequence[Row],
    *,
    tokenizer: "PreTrainedTokenizerBase",
    template: str,
    max_prompt_tokens: int,
    key: str,
    prefix: str | None = None,
) -> Prepared:
    """Render every row and keep those of at most `max_prompt_tokens` tokens, the forced start of the response with it.

    Too long a prompt is dropped, not cut: a cut question has no answer. UserError where none is short enough.
    """
    ids = render_all([row.prompt for row in rows], tokenizer=tokenizer, template=template, prefix=prefix)
    kept = [(row, tokens) for row, tokens in zip(rows, ids, strict=True) if len(tokens) <= max_prompt_tokens]
    if not kept:
        shortest = min(len(tokens) for tokens in ids)
        raise UserError(
            f"{key}: all {len(rows)} prompts are longer than algo.max_prompt_tokens={max_prompt_tokens}; the shortest "
            f"has {shortest} tokens, write algo.max_prompt_tokens={shortest} or more ({max(map(len, ids))} keeps all)"
        )
    return Prepared(
        rows=[row for row, _ in kept],
        ids=[tokens for _, tokens in kept],
        dropped=len(rows) - len(kept),
        longest=max(len(tokens) for _, tokens in kept),
    )
