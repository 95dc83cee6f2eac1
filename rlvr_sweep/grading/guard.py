r"""What is refused before sympy sees it: texts whose value or nesting no honest answer has. Pure string work, no sympy.

refusal("9^{9^9}")     # "too_big"
refusal(r"x^{2023}")   # None
"""

import re
from fractions import Fraction

from rlvr_sweep.grading.arithmetic import Value
from rlvr_sweep.grading.closed_form import value

MOST_NESTING = 25  # brackets within brackets
LARGEST_EXPONENT = 10_000
LARGEST_FACTORIAL = 2_100
LARGEST_BINOMIAL = 10_000
UNEVALUATED = re.compile(
    r"\\(?:int|iint|oint|sum|prod|lim|limsup|liminf)(?![A-Za-z])|\b(?:integrate|diff|limit|Sum|Product)\s*\("
)

_EXPONENT = re.compile(r"\^\s*(?P<group>[({]|-?\s*\d+)")
_FACTORIAL = re.compile(r"(?P<number>\d+)\s*!|(?P<close>[)}])\s*!")
_CLOSING = {"(": ")", "{": "}"}
_LETTER = re.compile(r"(?<!\\)\b[A-Za-z]")


def _group(text: str, start: int) -> str:
    """The bracketed text that opens at `start`, without its brackets; to the end where it never closes."""
    opening = text[start]
    depth = 0
    for end in range(start, len(text)):
        depth += (text[end] == opening) - (text[end] == _CLOSING[opening])
        if depth == 0:
            return text[start + 1 : end]
    return text[start + 1 :]


def _group_before(text: str, end: int) -> str:
    """The bracketed text that closes at `end`."""
    opening = {v: k for k, v in _CLOSING.items()}[text[end]]
    depth = 0
    for start in range(end, -1, -1):
        depth += (text[start] == text[end]) - (text[start] == opening)
        if depth == 0:
            return text[start + 1 : end]
    return text[:end]


def _large(text: str, limit: int) -> bool:
    """Whether a group is a number above `limit`, or numeric and beyond what can be computed; formulas with letters
    are not numbers."""
    number: Value | None = value(text.strip())
    if number is None:
        return not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", text)) and bool(
            re.search(r"\d\s*[\^!]|[)}]\s*[\^!]", text)
        )
    return abs(number) > limit if isinstance(number, Fraction) else bool(abs(number) > limit)


def refusal(text: str) -> str | None:
    """ "too_big" where `text` holds an exponent, factorial, binomial or nesting beyond the module's limits, else
    None."""
    depth = deepest = 0
    for sign in text:
        depth += (sign in "({[") - (sign in ")}]")
        deepest = max(deepest, depth)
    if deepest > MOST_NESTING or re.search(r"!\s*!\s*!", text):
        return "too_big"
    for match in _EXPONENT.finditer(text):
        group = match["group"]
        body = _group(text, match.start("group")) if group in _CLOSING else group
        rest = text[match.end() :] if group not in _CLOSING else ""
        if _large(body, LARGEST_EXPONENT) or rest.startswith(("^", "!")):
            return "too_big"
    for match in _FACTORIAL.finditer(text):
        body = match["number"] or _group_before(text, match.start("close"))
        if _large(body, LARGEST_FACTORIAL):
            return "too_big"
    for match in re.finditer(r"\\[dt]?binom\s*\{", text):
        if _large(_group(text, match.end() - 1), LARGEST_BINOMIAL):
            return "too_big"
    return None
