r"""KOR-Bench's answers (arXiv 2410.06526), one verifier a category, each of the rule's own text forms.

    operation(gold="2or-7/3", answer=r"-\frac{7}{3} or 2")        # (True, "equal")
    logic(gold="[A];[C]", answer="[C];[A]")                       # (False, "wrong_order")

Ours, not the released evaluation code. Softer than that in notation (LaTeX, look-alike signs, blanks), stricter in
content (cells keep their bounds, numbers are compared as numbers, expressions by their value and not by `eval`). The
golds are what data/kor.py makes of the rows: `a | b` says that either is right, `{a b}` that the order is free. All
1,625 gold answers of the released files were checked with it; how the authors of arXiv 2508.21188 graded is not known.
"""

import re
from collections import Counter

from rlvr_sweep.grading.rules_forms import (
    arithmetic,
    by_expression,
    by_number,
    clean,
    grid,
    integer,
    items,
    unordered,
)
from rlvr_sweep.grading.rules_values import assignments, folded, operation
from rlvr_sweep.grading.verdict import Outcome

__all__ = ["cipher", "counterfactual", "logic", "operation", "puzzle"]

_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)]?")
_EQUATION = re.compile(r"[\d\s+\-*/\u00d7\u00f7()]+=\s*-?\d+")
_EXPRESSION = re.compile(r"(?=.*\d\s*\)*\s*[-+*/\u00d7\u00f7])[\d\s+\-*/\u00d7\u00f7()]+")
_PLACES = re.compile(r"(?P<label>[A-Za-z]*)\s*(?P<cells>(?:\(\s*\d+\s*[,.]\s*\d+\s*\)\s*)+)")
_CELL = re.compile(r"\(\s*(\d+)\s*[,.]\s*(\d+)\s*\)")
_BETWEEN_PARTS = re.compile(r"\]\s*[;,]\s*\[|;")


def _packed(text: str) -> str:
    return re.sub(r"""[\s"“”]""", "", text)


# -- cipher and counterfactual ------------------------------------------------------------------------------------


def cipher(*, gold: str, answer: str) -> Outcome:
    """One text, sign by sign; blanks and double quotes do not count. Signs are never cleaned away: ciphers use them."""
    g, a = _packed(gold), _packed(answer)
    if not g:
        return None, "gold_unparseable"
    if g == a:
        return True, "equal"
    if g in re.split(r"[\s:=,]+", answer):
        return False, "extra_text"
    if len(g) != len(a):
        return False, "wrong_count"
    return False, "wrong_order" if sorted(g) == sorted(a) else "not_equal"


def counterfactual(*, gold: str, answer: str) -> Outcome:
    """One letter of the options, alone: "C", "(C)", "C."."""
    g, a = _LETTER.fullmatch(clean(gold)), _LETTER.fullmatch(clean(answer))
    if g is None:
        return None, "gold_unparseable"
    if a is None:
        return False, "extra_text" if re.search(rf"\b{g[1]}\b", answer) else "wrong_form"
    return (True, "equal") if g[1].upper() == a[1].upper() else (False, "not_equal")


# -- logic --------------------------------------------------------------------------------------------------------


def _parts(text: str) -> list[str]:
    text = folded(text).replace("$", "") if r"\$" not in text and text.count("$") % 2 == 0 else folded(text)
    text = _packed(text)
    pieces = _BETWEEN_PARTS.split(text)
    if len(pieces) > 1 or (text.startswith("[") and text.endswith("]") and text.count("[") == 1):
        pieces[0], pieces[-1] = pieces[0].removeprefix("["), pieces[-1].removesuffix("]")
    return [_set(piece.removesuffix(".")) for piece in pieces]


def _set(part: str) -> str:
    """A set `{q,p}` with its elements sorted, other text as it is."""
    if not (part.startswith("{") and part.endswith("}")) or part.count("{") > 1:
        return part
    return "{" + ",".join(sorted(part[1:-1].split(","))) + "}"


def _rows_of_signs(parts: list[str]) -> bool:
    """Whether these are lines of a truth table: signs + and -, as many in each, and more than one sign."""
    rows = [part.split(",") for part in parts]
    return all(set(row) <= {"+", "-"} for row in rows) and len({len(row) for row in rows}) == 1 < len(rows[0])


def logic(*, gold: str, answer: str) -> Outcome:
    """Parts in their order, each as a text without blanks; elements of a set, and lines of a truth table below its
    head, in any order."""
    g, a = _parts(gold), _parts(answer)
    if not any(g):
        return None, "gold_unparseable"
    if len(g) != len(a) and len(a) == 1 and g[0] in re.split(r"[:=]", a[0]) and len(g) == 1:
        return False, "extra_text"
    head = 0 if _rows_of_signs(g) else 1
    if len(g) > 1 and g[head:] and _rows_of_signs(g[head:]) and g[:head] == a[:head]:
        return unordered(g[head:], a[head:])
    return items(g, a)


# -- puzzle -------------------------------------------------------------------------------------------------------


def _word(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _placed(text: str) -> list[tuple[str, tuple[tuple[int, int], ...]]] | None:
    """(label, cells) of `RAVEL (6,6)(10,6)` or `(1,2)(1,3), ...`; None where there is other text."""
    text = text.replace(":", " ")
    found = list(_PLACES.finditer(text))
    if not found or re.sub(r"[\s,;]", "", _PLACES.sub("", text)):
        return None
    return [
        (match["label"].upper(), tuple((int(i), int(j)) for i, j in _CELL.findall(match["cells"]))) for match in found
    ]


def _equation(gold: str, answer: str) -> Outcome:
    """Any digits under the gold equation's signs that make it true."""
    left, _, right = gold.rpartition("=")
    g = arithmetic(left)
    claim, equals, value = answer.rpartition("=")
    a = arithmetic(claim if equals else answer)
    if g is None or integer(right) is None:
        return None, "gold_unparseable"
    if a is None or (equals and integer(value) != integer(right)):
        return False, "wrong_form" if a is None else "not_equal"
    if a.signs != g.signs or any(number > 9 for number in a.numbers):
        return False, "wrong_items"
    return (True, "equal") if a.value == integer(right) else (False, "not_equal")


def puzzle(*, gold: str, answer: str) -> Outcome:
    """By the gold's form: one of several (`a | b`), words in any order (`{a b}`), an equation or expression to be
    worked out, assignments by name, places on a grid, a number, else rows of words or cells in their order."""
    if " | " in gold:
        options = [_word(option) for option in gold.split(" | ")]
        found = [word for word in map(_word, re.split(r"[\s,;|/]+|\bor\b", clean(answer))) if word]
        if len(found) != 1:
            return False, "extra_text" if set(found) & set(options) else "wrong_form"
        return (True, "equal") if found[0] in options else (False, "not_equal")
    if gold.startswith("{") and gold.endswith("}"):
        g, a = (
            [_word(word) for word in re.split(r"[\s,;]+", clean(text).strip("{}")) if word] for text in (gold, answer)
        )
        return unordered(g, a)
    if _EQUATION.fullmatch(gold):
        return _equation(gold, answer)
    if _EXPRESSION.fullmatch(gold) and (made := arithmetic(gold)) is not None and made.signs:
        return by_expression(gold=gold, answer=answer)
    if integer(gold) is not None:
        return by_number(gold=gold, answer=answer)
    if (named := assignments(gold)) is not None:
        found = assignments(clean(answer))
        if found is None:
            return False, "wrong_form"
        if Counter(name for name, _ in named) != Counter(name for name, _ in found):
            return False, "wrong_items"
        return unordered(named, found)
    if (places := _placed(gold)) is not None:
        found = _placed(clean(answer))
        if found is None:
            return False, "wrong_form"
        if any(label for label, _ in places):
            return items(places, found)
        return unordered([frozenset(cells) for _, cells in places], [frozenset(cells) for _, cells in found])
    return _cells(gold, answer)


def _cells(gold: str, answer: str) -> Outcome:
    g, a = ([[cell.casefold() for cell in row] for row in grid(text)] for text in (gold, answer))
    if not g:
        return None, "gold_unparseable"
    if g == a:
        return True, "equal"
    one = len({len(row) for row in g}) > 1 and all(len(cell) <= 2 for row in g for cell in row)
    if one:  # a released grid with a slip, as in "1 1X": cells of one sign are compared without the blanks
        return items(["".join(row) for row in g], ["".join(row) for row in a])
    if [len(row) for row in g] != [len(row) for row in a]:
        return False, "wrong_count"
    return items([cell for row in g for cell in row], [cell for row in a for cell in row])
