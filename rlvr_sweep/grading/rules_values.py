r"""The values that answers of KOR-Bench's Operation hold: numbers, formulas, several of them, sets, bounds, matrices.

    operation(gold="2or-7/3", answer=r"-\frac{7}{3} or 2")        # (True, "equal")
    operation(gold="{1,2}", answer="1,2")                          # (False, "wrong_form")

Numbers and formulas are compared by the maths grader; what holds them is compared here.
"""

# ruff: noqa: RUF001 (signs that look like others are what answers hold and what this file tells apart)

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from rlvr_sweep.grading.rules_forms import clean
from rlvr_sweep.grading.verdict import Outcome

_ASSIGNMENT = re.compile(r"\s*(\w+)\s*=\s*([^,=]+?)\s*")

_TEX = {
    r"\lnot": "¬", r"\neg": "¬", r"\lor": "∨", r"\vee": "∨", r"\land": "^", r"\wedge": "^", r"\Rightarrow": "⇒",
    r"\rightarrow": "→", r"\to": "→", r"\forall": "∀", r"\exists": "∃", r"\emptyset": "∅", r"\varnothing": "∅",
    r"\leq": "≤", r"\geq": "≥", r"\le": "≤", r"\ge": "≥", r"\in": "∈", r"\approx": "≈", r"\mid": "|",
    r"\langle": "⟨", r"\rangle": "⟩", r"\checkmark": "✓", r"\phi": "φ", r"\varphi": "φ", r"\{": "{", r"\}": "}",
    r"\%": "%", r"\_": "_", r"\&": "&", r"\$": "$", r"\,": "", r"\;": "", r"\ ": "",
}  # fmt: skip
_TEX_NAME = re.compile(
    r"(?<!\\)(?:" + "|".join(re.escape(name) + ("(?![A-Za-z])" if name[1].isalpha() else "") for name in _TEX) + ")"
)
_ALIKE = str.maketrans({"∧": "^", "∼": "~", "～": "~", "∣": "|", "−": "-", "✔": "✓", "✗": "x", "✘": "x"})


def folded(text: str) -> str:
    """Signs that stand for the same, as one; without dollar signs and `\\text{}` around words."""
    text = re.sub(r"\\(?:text|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    return _TEX_NAME.sub(lambda m: _TEX[m.group()], text).translate(_ALIKE)


_OR = re.compile(r"(?<![A-Za-z\\])or(?![A-Za-z])")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "sqrt", "exp", "pmatrix", "bmatrix", "matrix"}
_EULER = re.compile(r"(?<=\d)e(?=\s*[-+])")  # 4e-4 is four times e, less four
_BUILT = re.compile(r"\{\s*(?P<name>\w+)\s*(?:∈\s*\w+\s*)?[|:]\s*(?P<rest>.+)\}")
_BOUND = re.compile(r"(?P<name>\w+)\s*(?P<sign><=|>=|≤|≥|<|>)\s*(?P<bound>[^<>=≤≥]+)")
_BOUND_TURNED = re.compile(r"(?P<bound>[^<>=≤≥]+?)\s*(?P<sign><=|>=|≤|≥|<|>)\s*(?P<name>[A-Za-z]\w*)")
_SAME_SIGN = {"<=": "≤", ">=": "≥"}
_TURNED = {"≤": "≥", "≥": "≤", "<": ">", ">": "<"}
_PMATRIX = re.compile(r"\\begin\{[pbv]?matrix\}(.*?)\\end\{[pbv]?matrix\}", re.DOTALL)


def _scalar(gold: str, answer: str) -> Outcome:
    """Numbers and formulas, by the maths grader, which takes the answer twice over for the same set."""
    from rlvr_sweep.grading.verify import judge

    if _commas(gold) != _commas(answer):
        return False, "wrong_count"
    return judge(gold=_EULER.sub(" e ", gold), answer=_EULER.sub(" e ", answer))


def _commas(text: str) -> int:
    """Commas outside brackets."""
    depth = found = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        found += sign == "," and depth == 0
    return found


def _match(gold: list[Any], answer: list[Any], equal: Callable[[Any, Any], Outcome]) -> Outcome:
    """Pairs off two lists whose order is free."""
    if len(gold) != len(answer):
        return False, "wrong_count"
    if len(gold) == 1:
        return equal(gold[0], answer[0])
    left, doubt = list(answer), None
    for g in gold:
        verdicts = [equal(g, a) for a in left]
        hit = next((i for i, verdict in enumerate(verdicts) if verdict[0]), None)
        if hit is None:
            doubt = next((verdict for verdict in verdicts if verdict[0] is None), None)
            return doubt or (False, "not_equal")
        left.pop(hit)
    return True, "equal"


def _ordered(gold: list[str], answer: list[str]) -> Outcome:
    if len(gold) != len(answer):
        return False, "wrong_count"
    verdicts = [_scalar(g, a) for g, a in zip(gold, answer, strict=True)]
    wrong = next((v for v in verdicts if v[0] is False), None) or next((v for v in verdicts if v[0] is None), None)
    if wrong is None:
        return True, "equal"
    return (False, "wrong_order") if wrong[0] is False and _match(gold, answer, _scalar)[0] else wrong


def _bound(text: str) -> tuple[str, str, str] | None:
    """(name, sign, bound) of an inequality with its name on either side."""
    if match := _BOUND.fullmatch(text.strip()):
        sign = _SAME_SIGN.get(match["sign"], match["sign"])
        if re.fullmatch(r"[A-Za-z]\w*", match["name"]):
            return match["name"], sign, match["bound"].strip()
    if match := _BOUND_TURNED.fullmatch(text.strip()):
        sign = _SAME_SIGN.get(match["sign"], match["sign"])
        return match["name"], _TURNED[sign], match["bound"].strip()
    return None


def _bounds(text: str) -> list[tuple[str, str, str]] | None:
    """The inequalities of `X≥8`, or of `{x|x≤0 or x≥1}`; None where these are none."""
    built = _BUILT.fullmatch(text.strip())
    found = [_bound(part) for part in _OR.split(built["rest"] if built else text)]
    known = [bound for bound in found if bound is not None]
    return known if len(known) == len(found) else None


def _same_bound(gold: tuple[str, str, str], answer: tuple[str, str, str]) -> Outcome:
    if gold[0].lower() != answer[0].lower() or gold[1] != answer[1]:
        return False, "not_equal"
    return _scalar(gold[2], answer[2])


def _elements(text: str) -> list[str] | None:
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    return [element.strip() for element in text[1:-1].split(",") if element.strip()]


def _matrix(text: str) -> list[list[str]] | None:
    """The rows of `((1,2),(3,4))`, `[[1,2],[3,4]]` or a LaTeX matrix."""
    if match := _PMATRIX.search(text):
        return [[cell.strip() for cell in row.split("&")] for row in match[1].split("\\\\") if row.strip()]
    rows = re.findall(r"[(\[]([^()\[\]]+)[)\]]", text)
    plain = re.sub(r"[(\[][^()\[\]]+[)\]]", "", text)
    if not rows or re.sub(r"[()\[\],\s]", "", plain) or not re.match(r"\s*[(\[]\s*[(\[]|\s*\[[^\[]+\]\s*,", text):
        return None
    return [[cell.strip() for cell in row.split(",")] for row in rows]


def operation(*, gold: str, answer: str) -> Outcome:
    """Numbers and formulas by the maths grader; several values (joined by "or") and sets in any order; assignments by
    name; inequalities by sign and bound; matrices row by row. Words beside the answer make it another answer."""
    g, a = folded(clean(gold)), folded(clean(answer))
    if not g:
        return None, "gold_unparseable"
    if set(map(str.lower, _WORDS.findall(a))) - _FUNCTIONS - set(map(str.lower, _WORDS.findall(g))):
        return False, "extra_text"
    for read, equal in ((_bounds, _same_bound), (_elements, _scalar)):
        if (wanted := read(g)) is not None:
            found = read(a)
            return (False, "wrong_form") if found is None else _match(wanted, found, equal)
    if (rows := _matrix(g)) is not None:
        found = _matrix(a)
        if found is None:
            return False, "wrong_form"
        if [len(row) for row in rows] != [len(row) for row in found]:
            return False, "wrong_count"
        return _ordered([cell for row in rows for cell in row], [cell for row in found for cell in row])
    if (named := assignments(g)) is not None:
        found = assignments(a)
        return (False, "wrong_form") if found is None else _by_name(named, found)
    return _match([part.strip() for part in _OR.split(g)], [part.strip() for part in _OR.split(a)], _scalar)


def assignments(text: str) -> list[tuple[str, str]] | None:
    """The pairs of `x=1, y=2`; None unless there are several."""
    found = [_ASSIGNMENT.fullmatch(part) for part in re.split(r",|\band\b", text)]
    known = [(match[1], match[2]) for match in found if match is not None]
    return known if len(known) == len(found) > 1 else None


def _by_name(gold: list[tuple[str, str]], answer: list[tuple[str, str]]) -> Outcome:
    if len(gold) != len(answer):
        return False, "wrong_count"
    if Counter(name for name, _ in gold) != Counter(name for name, _ in answer):
        return False, "wrong_items"
    return _match(gold, answer, lambda g, a: _scalar(g[1], a[1]) if g[0] == a[0] else (False, "not_equal"))
