r"""Verifiers by name: what says whether an answer is right, and what counts as an answer, where the task is not maths.

    find("puzzle/cipher")(gold="KHOOR", answer="khoor")                        # (True, "equal")
    extract("So it is [[A];[C]].", verifier="kor/logic", how="boxed")          # "[A];[C]"

A verifier is a pure function `judge(gold=..., answer=...)`; it runs in the grader's workers, which import it by name.
"""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from rlvr_sweep.data.puzzles import NAMES as PUZZLES
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading import extraction
from rlvr_sweep.grading.extraction import How
from rlvr_sweep.grading.verdict import Outcome
from rlvr_sweep.nearest import nearest

MATH = "math"
LONGEST = 4_000  # characters of an answer: a whole word search, not an essay
KOR = ("operation", "logic", "cipher", "puzzle", "counterfactual")
_WHERE = {f"puzzle/{name}": f"rlvr_sweep.data.puzzles.{name}:judge" for name in PUZZLES}
_WHERE |= {f"kor/{category}": f"rlvr_sweep.grading.rules_kor:{category}" for category in KOR}
NAMES = (MATH, *_WHERE)

_NEXT_QUESTION = re.compile(r"\n\s*#*\s*Question\s*:")
_ANSWER_IS = re.compile(r"answer\s+is\b\s*:?[ \t]*(?P<claim>[^\n]*)", re.IGNORECASE)


class Judge(Protocol):
    """What a verifier is: no state, no limit of its own, the reason with the verdict."""

    def __call__(self, *, gold: str, answer: str) -> Outcome: ...


def known(name: str) -> str:
    """`name`, if it is a verifier's. UserError with the nearest one otherwise."""
    if name not in NAMES:
        raise UserError(f"no verifier {name!r}: {nearest(name, NAMES)}")
    return name


def find(name: str) -> Judge:
    """The verifier of that name, math excepted, which needs a worker's limits (`pool.Grader`). UserError: unknown."""
    module, function = _WHERE[known(name)].split(":")
    found: Callable[..., Outcome] = getattr(import_module(module), function)
    return found


def quick(gold: str, answer: str | None) -> Outcome | None:
    """The verdicts that are the same for every verifier: no answer, an empty one, one that is no answer for its
    length; None where the verifier must look."""
    if answer is None:
        return False, "no_answer"
    if not answer.strip():
        return False, "empty"
    if len(answer) > LONGEST:
        return False, "too_long"
    return None if gold.strip() else (None, "gold_unparseable")


def extract(text: str, *, verifier: str, how: How, think_open: bool = False) -> str | None:
    r"""The answer claimed in a completion, by the verifier's own rule; None where there is none.

    math: as `extraction.extract`. All others: "boxed" is what stands in the last ``[[...]]``, or ``\boxed{...}``, or
    ``<answer>`` tags (in this order; within the tags the first two are unwrapped), outside the thinking part; "tagged"
    demands the tags; "lenient" also takes the line behind "answer is". Where a text goes on to ask itself a further
    "Question:", as base models do after examples, what stands before counts first.
    """
    if verifier == MATH:
        return extraction.extract(text, how=how, think_open=think_open)
    if how == "tagged":
        tagged = extraction.answer_tag(text, think_open=think_open)
        return None if tagged is None else _unwrapped(tagged)
    text = extraction.strip_thinking(text, think_open=think_open)
    first = _NEXT_QUESTION.split(text, maxsplit=1)[0]
    for part in (first, text) if first != text else (text,):
        found = _marked(part)
        if found is None and how == "lenient" and (claims := _ANSWER_IS.findall(part)):
            found = claims[-1].strip(" \t*`").removesuffix(".") or None
        if found is not None:
            return found
    return None


def _marked(text: str) -> str | None:
    found = brackets(text)
    if found is None:
        found = extraction.last_boxed(text)
        inner = None if found is None else brackets(found)
        found = found if inner is None else inner
    elif (boxed := extraction.last_boxed(found)) is not None:
        found = boxed
    return extraction.answer_tag(text) if found is None else found


def _unwrapped(text: str) -> str:
    found = _marked(text)
    return text if found is None else found


def brackets(text: str) -> str | None:
    """What the last complete ``[[...]]`` holds, stripped; of ``[[a];[b]]``, an answer of several parts, ``[a];[b]``.

    Complete means that the brackets within are matched; where none is, what stands between the last ``]]`` and the
    ``[[`` before it. One pass over the text.
    """
    opened: list[int] = []
    start, end = -1, -1
    for match in re.finditer(r"[\[\]]", text):
        at = match.start()
        if match.group() == "[":
            opened.append(at)
        elif opened:
            begin = opened.pop()
            if at - begin > 2 and text[begin + 1] == "[" and text[at - 1] == "]":
                start, end = begin, at
    if end < 0:
        close = text.rfind("]]")
        begin = text.rfind("[[", 0, max(close, 0))
        return text[begin + 2 : close].strip() if close >= 0 and begin >= 0 else None
    body = text[start + 1 : end].strip()
    return body if _closes_early(body) else body[1:-1].strip()


def _closes_early(body: str) -> bool:
    """Whether the bracket that opens `body` closes before its end: several parts, each in its own."""
    depth = 0
    for at, sign in enumerate(body):
        depth += (sign == "[") - (sign == "]")
        if depth == 0:
            return at < len(body) - 1
    return False
