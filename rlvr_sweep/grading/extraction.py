r"""Text to answer: what a completion claims, as a string, or None where it claims nothing. Pure functions, linear in
the text.

extract(r"<think>\boxed{4}</think> So \boxed{5}", how="boxed")     # "5"
extract(r"\boxed{}", how="boxed")                                  # "": an empty box is not the same as no box
extract("The answer is 7.", how="boxed"), extract("The answer is 7.", how="lenient")     # None, "7"
"""

import re
from typing import Literal

How = Literal["boxed", "tagged", "lenient"]

_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
_ANSWER_IS = re.compile(r"answer\s+is\b\s*:?\s*", re.IGNORECASE)
_MATHS = re.compile(r"\$\$?([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d[\d,]*\d|\d)(?:\.\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")
_LENIENT_TAIL = 400  # characters after "answer is": one clause, not the rest of a long text


def strip_thinking(text: str, *, think_open: bool = False) -> str:
    """The part of a completion that is not thinking.

    Text after the last ``</think>`` counts; what follows a ``<think>`` that never closes does not. Templates of the r1
    style open ``<think>`` in the prompt, so a completion may hold only the closing tag. Pass `think_open=True` where
    the prompt opened it and an unfinished thought must not count: without ``</think>`` nothing is then left. By
    default such a text counts whole.
    """
    _, closed, rest = text.rpartition("</think>")
    if think_open and not closed:
        return ""
    return rest.partition("<think>")[0]


def last_boxed(text: str, *, think_open: bool = False) -> str | None:
    r"""Content of the last complete ``\boxed{...}`` or ``\fbox{...}`` outside the thinking part, stripped; None where
    there is none.

    Complete means that its brace is matched (``\{`` and ``\}`` are signs, not braces): ``\boxed{5`` at the end of a
    truncated text is no answer. Of nested boxes the inner one counts, because it starts last.
    """
    text = strip_thinking(text, think_open=think_open)
    open_braces: list[int] = []  # end of the opener for a box, -1 for a plain brace
    start, end = -1, -1
    for match in _BRACE.finditer(text):
        token = match.group()
        if token == "}":
            opened = open_braces.pop() if open_braces else -1
            if opened > start:
                start, end = opened, match.start()
        elif token == "{":
            open_braces.append(-1)
        elif match["box"]:
            open_braces.append(match.end())
    return None if start < 0 else text[start:end].strip()


def answer_tag(text: str, *, think_open: bool = False) -> str | None:
    """Content of the last complete ``<answer>...</answer>`` outside the thinking part, stripped; None where there is
    none."""
    text = strip_thinking(text, think_open=think_open)
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, max(end, 0))
    return None if end < 0 or start < 0 else text[start + len("<answer>") : end].strip()


def lenient(text: str, *, think_open: bool = False) -> str | None:
    r"""The first of these that is there and not empty, else None; the counterpart of the papers' extractors, which
    also count unboxed answers.

    1. the last complete box; 2. what follows the last "answer is" up to the end of the sentence, or the first formula
    in it (``$...$``); 3. the last number of the text, with its sign, decimals, ``/denominator`` and percent sign.
    """
    text = strip_thinking(text, think_open=think_open)
    if boxed := last_boxed(text):
        return boxed
    if anchors := list(_ANSWER_IS.finditer(text)):
        begin = anchors[-1].end()
        tail = text[begin : begin + _LENIENT_TAIL]
        formula = _MATHS.search(tail)
        sentence = _SENTENCE_END.split(tail, maxsplit=1)[0]
        claim = next(filter(None, formula.groups())) if formula and formula.start() <= len(sentence) else sentence
        if claim := claim.strip(" \t*:$"):
            return claim
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "") if numbers else None


def extract(text: str, *, how: How, think_open: bool = False) -> str | None:
    r"""The answer claimed in `text`, None where there is none.

    `how`: "boxed" (strict, the default of training and evaluation), "tagged" (``<answer>`` tags; a box within them is
    unwrapped) or "lenient". Raises ValueError for another word.
    """
    if how == "boxed":
        return last_boxed(text, think_open=think_open)
    if how == "tagged":
        tagged = answer_tag(text, think_open=think_open)
        boxed = None if tagged is None else last_boxed(tagged)
        return tagged if boxed is None else boxed
    if how == "lenient":
        return lenient(text, think_open=think_open)
    raise ValueError(f"extract(how={how!r}): write boxed, tagged or lenient")
