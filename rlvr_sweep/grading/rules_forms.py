"""The forms that answers of rule-based tasks have, read strictly and compared exactly; each rejection has its reason.

    items(["a", "b"], ["b", "a"])        # (False, "wrong_order")
    grid("1 2, 3 4")                     # [["1", "2"], ["3", "4"]]
    arithmetic("(9+5-2)*2").value        # Fraction(24)

Pure functions, linear in short texts. No text is ever evaluated as code.
"""

# ruff: noqa: RUF001 (signs that look like others, a minus, a multiplication sign, are what answers hold; read as one here)

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from rlvr_sweep.grading.verdict import Outcome

DEEPEST = 20  # brackets within brackets
MOST_NUMBERS = 40  # of an expression
MOST_DIGITS = 9  # of a number in an expression

_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "＋": "+"})
_TEX_SIGNS = (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("\\left", ""), ("\\right", ""))
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")
_TOKEN = re.compile(r"\s*(?:(?P<number>\d+)|(?P<sign>[-+*/()]))")
_ROW_ENDS = re.compile(r"[\n;]|\]\s*,?\s*\[|\\\\")


def clean(text: str) -> str:
    r"""Without blanks, dollar signs, quotes, back-ticks, ``\text{}`` and a full stop around it."""
    text = _WRAPPED.sub(r"\1", text).strip()
    while (shorter := text.strip("$`'\"“”‘’* \t\n")) != text or text.endswith("."):
        text = shorter.removesuffix(".")
    return text


def items(gold: Sequence[object], answer: Sequence[object]) -> Outcome:
    """Two ordered lists: equal, or why not."""
    if list(gold) == list(answer):
        return True, "equal"
    if len(gold) != len(answer):
        return False, "wrong_count"
    return False, "wrong_order" if Counter(gold) == Counter(answer) else "not_equal"


def unordered(gold: Sequence[object], answer: Sequence[object]) -> Outcome:
    """Two lists whose order says nothing; what comes twice must come twice."""
    if Counter(gold) == Counter(answer):
        return True, "equal"
    return False, "wrong_count" if len(gold) != len(answer) else "not_equal"


def integer(text: str) -> int | None:
    """The whole number that is all of `text`, else None."""
    text = clean(text).translate(_SIGNS)
    return int(text) if re.fullmatch(r"[-+]?\d{1,30}", text) else None


def by_number(*, gold: str, answer: str) -> Outcome:
    """Two whole numbers; other text, also behind the right number, is no number."""
    g = integer(gold)
    if g is None:
        return None, "gold_unparseable"
    a = integer(answer)
    if a is None:
        found = [int(n) for n in re.findall(r"-?\d{1,30}", answer)]
        return False, "extra_text" if g in found else "wrong_form"
    return (True, "equal") if a == g else (False, "not_equal")


def grid(text: str) -> list[list[str]]:
    """Rows of cells. Rows end with a new line, a semicolon or a bracket, or, where none of these is there, with a
    comma; cells are parted by blanks, and by commas where those end no row. Empty rows are left out."""
    text = clean(text)
    rows = _ROW_ENDS.split(text) if _ROW_ENDS.search(text) else text.split(",")
    found = [re.split(r"[\s,|&]+", row.strip(" \t,[]()|&")) for row in rows]
    return [row for row in found if row != [""]]


def by_grid(*, gold: str, answer: str) -> Outcome:
    """Two grids, cell by cell. Rows of the right cells in another order are told from wrong cells."""
    g, a = grid(gold), grid(answer)
    if not g:
        return None, "gold_unparseable"
    if g == a:
        return True, "equal"
    if [len(row) for row in g] != [len(row) for row in a]:
        return False, "wrong_count"
    return items([cell for row in g for cell in row], [cell for row in a for cell in row])


@dataclass
class Expression:
    """What an arithmetic expression says: its value, and the numbers and binary signs in it, from left to right."""

    value: Fraction
    numbers: list[int] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)


class NoExpressionError(Exception):
    """The text is no bounded expression of whole numbers, + - * / and brackets."""


def arithmetic(text: str) -> Expression | None:
    """The expression that is all of `text`; None where it is none, divides by zero, or passes the limits above.

    No sign stands before a number: where numbers are given, -5 is none of them.
    """
    text = clean(text)
    for name, sign in _TEX_SIGNS:
        text = text.replace(name, sign)
    try:
        return _Parser(text.translate(_SIGNS)).whole()
    except (NoExpressionError, ZeroDivisionError):
        return None


class _Parser:
    """Recursive descent; every method returns a value or raises."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise NoExpressionError
            self.tokens.append(match[0].strip())
            at = match.end()
        self.at = self.depth = 0
        self.found = Expression(Fraction(0))

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def whole(self) -> Expression:
        self.found.value = self.sum()
        if self.at < len(self.tokens):
            raise NoExpressionError
        return self.found

    def sum(self) -> Fraction:
        total = self.product()
        while self.peek() in ("+", "-"):
            sign = self.sign()
            term = self.product()
            total = total + term if sign == "+" else total - term
        return total

    def product(self) -> Fraction:
        result = self.factor()
        while self.peek() in ("*", "/"):
            sign = self.sign()
            factor = self.factor()
            result = result * factor if sign == "*" else result / factor
        return result

    def sign(self) -> str:
        self.found.signs.append(self.tokens[self.at])
        self.at += 1
        return self.tokens[self.at - 1]

    def factor(self) -> Fraction:
        token = self.peek()
        self.at += 1
        if token.isdigit() and len(token) <= MOST_DIGITS and len(self.found.numbers) < MOST_NUMBERS:
            self.found.numbers.append(int(token))
            return Fraction(int(token))
        if token != "(" or self.depth >= DEEPEST:
            raise NoExpressionError
        self.depth += 1
        inner = self.sum()
        self.depth -= 1
        if self.peek() != ")":
            raise NoExpressionError
        self.at += 1
        return inner


def by_expression(*, gold: str, answer: str) -> Outcome:
    """Any expression of the gold expression's numbers, each as often as there, that has its value."""
    g = arithmetic(gold)
    if g is None:
        return None, "gold_unparseable"
    left, equals, right = answer.rpartition("=")
    if equals and integer(right) == g.value:
        answer = left  # "3*8=24" claims no more than "3*8"
    a = arithmetic(answer)
    if a is None:
        return False, "wrong_form"
    if Counter(a.numbers) != Counter(g.numbers):
        return False, "wrong_items"
    return (True, "equal") if a.value == g.value else (False, "not_equal")
