r"""The part of a judgement that needs sympy: math-verify with its parser mended, and formulas compared by their values.

    judge(gold="x^2-1", answer="(x-1)(x+1)")     # (True, "equal")

Import this module only where 0.3 s and 70 MB do not matter, in a worker. Importing it checks that percentages parse
and raises RuntimeError otherwise. Nothing here limits time: the worker sets an alarm, and its parent kills.
"""

import logging
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import sympy
from latex2sympy2_extended.antlr_parser import PSParser
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, Intersection, Union

from rlvr_sweep.grading import guard
from rlvr_sweep.grading.verify import Outcome

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns once that its own alarm is off: ours is on

# Fixed and recorded with the versions: another configuration gives other verdicts on some percent of real answers.
EXTRACTION = (LatexExtractionConfig(boxed_match_priority=-1),)
FLOAT_ROUNDING = 12  # decimals count as what they say: 0.333333 is not 1/3 (math-verify's default, 6, says it is)
NUMERIC_PRECISION = 15
AGREE = sympy.Float("1e-10")  # relative difference still called equal: a decimal may stand in a formula
POINTS = tuple(
    sympy.Rational(p, q) for p, q in ((37, 29), (-23, 17), (11, 31), (-19, 41), (89, 13), (53, 7), (-71, 9), (5, 43))
)
_NUMBERS_IN_A_ROW = re.compile(r"((?<![\d_^.])\d+(?:\.\d+)?|(?<=\d)\))\s*\((?=-?\d)")  # 2(3): the parser adds them
LEAST_POINTS = 4  # real values that must agree before two formulas are called equal
MOST_SYMBOLS = 6


def _mend_percent() -> None:
    """latex2sympy2_extended's parser for antlr 4.9 (the version hydra pins) lacks names its percent rule asks for;
    they match nothing."""
    for name in ("AtomContext", "Func_normal_single_argContext", "Func_normal_multi_argContext"):
        context = getattr(PSParser, name, None)
        if context is not None and not hasattr(context, "FUNC_GAMMA"):
            context.FUNC_GAMMA = lambda self, *index: None


@lru_cache(maxsize=1 << 12)
def parsed(text: str) -> Any | None:
    """The sympy object a normalised answer stands for, None where math-verify cannot read it. Sets are evaluated."""
    latex = _NUMBERS_IN_A_ROW.sub(r"\1 \\cdot (", text.replace("%", r"\%"))
    found = parse(f"${latex}$", EXTRACTION, fallback_mode="no_fallback", parsing_timeout=0)  # pyright: ignore[reportArgumentType]
    if not found:
        return None
    result = found[0]
    return result.doit() if isinstance(result, (Intersection, Union)) else result


def _number(expression: Any) -> Any | None:
    """30 digits of an expression without symbols; None where it has none (infinities, functions sympy cannot
    evaluate)."""
    number = sympy.N(expression, 30)
    return number if isinstance(number, Expr) and number.is_number and number.is_finite else None


def _apart(a: Any, b: Any) -> bool:
    """Whether two numbers differ, relative to the larger one."""
    return bool(sympy.Abs(a - b) > AGREE * sympy.Max(sympy.Abs(a), sympy.Abs(b)))


def _at_points(gold: Expr, answer: Expr) -> Iterator[tuple[Any, Any]]:
    """The two formulas' values at every point where both are real. Symbols take different points."""
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    names = sorted(
        {str(symbol) for symbol in symbols}
    )  # the parser may declare one name real and not real: it is one variable
    if len(names) > MOST_SYMBOLS:
        return
    for shift in range(len(POINTS)):
        at = [(symbol, POINTS[(shift + 3 * names.index(str(symbol))) % len(POINTS)]) for symbol in symbols]
        g, a = _number(gold.subs(at)), _number(answer.subs(at))
        if g is not None and a is not None and g.is_real and a.is_real:
            yield g, a


def _formulas(gold: Expr, answer: Expr) -> bool | None:
    """Equal means: equal wherever both are real. So `sqrt(1/n)` is `1/sqrt(n)`, and `sqrt(x^2)` is not `x`.

    Done before math-verify, whose `simplify` takes seconds on what a few values tell apart, and which calls numbers
    below 1e-15 equal.
    """
    gold, answer = gold.doit(), answer.doit()
    if not gold.free_symbols and not answer.free_symbols:
        g, a = _number(gold), _number(answer)
        return None if g is None or a is None else not _apart(g, a)
    for agreed, (g, a) in enumerate(_at_points(gold, answer), start=1):
        if _apart(g, a):
            return False
        if agreed == LEAST_POINTS:
            return True
    return None


def _equations(gold: sympy.Eq, answer: sympy.Eq) -> bool:
    """A check on equations math-verify calls equal: one is a multiple of the other, or the gold has solutions that
    were compared."""
    sides = (gold.lhs, gold.rhs, answer.lhs, answer.rhs)
    if gold == answer or not all(isinstance(side, Expr) for side in sides):
        return True
    a, b, c, d = cast("tuple[Expr, ...]", sides)
    ratios = [g / x for g, x in _at_points(a - b, c - d) if x != 0 and g != 0]
    if len(ratios) >= LEAST_POINTS and not any(_apart(ratios[0], ratio) for ratio in ratios[1:]):
        return True
    try:
        return bool(sympy.solve(gold, gold.free_symbols))
    except NotImplementedError:  # beyond sympy's solver, so not what math-verify compared
        return True


def _by_numbers(gold: Any, answer: Any) -> bool | None:
    """Whether two formulas (or what two assignments assign) are equal, told by their values; None where these cannot
    tell."""
    if isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq):
        return None  # x=5 is not y=5
    gold, answer = _assigned(gold), _assigned(answer)
    words = any(
        isinstance(side, sympy.Symbol) and len(str(side)) > 1 for side in (gold, answer)
    )  # \text{even}: math-verify compares letters
    if words or not (isinstance(gold, Expr) and isinstance(answer, Expr)):
        return None
    try:
        return _formulas(gold, answer)
    except MemoryError:
        raise
    except Exception:  # sympy raises nearly anything where it cannot evaluate; math-verify then decides
        return None


def _assigned(relation: Any) -> Any:
    """What an assignment assigns (`f(x) = x + 1`: x + 1); anything else unchanged."""
    if isinstance(relation, sympy.Eq) and (relation.lhs.is_Symbol or relation.lhs.is_Function):  # pyright: ignore[reportAttributeAccessIssue]
        return relation.rhs
    return relation


def judge(*, gold: str, answer: str) -> Outcome:
    """The verdict on two normalised texts that `verify.fast_judge` left open. MemoryError and what a signal handler
    raises pass through."""
    if guard.refusal(gold):
        return None, "gold_unparseable"
    if guard.refusal(answer):
        return False, "too_big"
    if guard.UNEVALUATED.search(answer) and not guard.UNEVALUATED.search(gold):
        return False, "unevaluated"
    g = parsed(gold)
    if g is None:
        return None, "gold_unparseable"
    a = parsed(answer)
    if a is None:
        return False, "parse_fail"
    equal = _by_numbers(g, a)
    if equal is None:
        equal = verify(
            g,
            a,
            float_rounding=FLOAT_ROUNDING,
            numeric_precision=NUMERIC_PRECISION,
            allow_set_relation_comp=True,
            timeout_seconds=0,
        )
        if equal and isinstance(g, sympy.Eq) and isinstance(a, sympy.Eq):
            equal = _equations(g, a)
    return (True, "equal") if equal else (False, "not_equal")


def self_test() -> None:
    """Raise RuntimeError where the installed parser cannot do what grading relies on."""
    for text, why in (("50%", "percent answers"), (r"\frac{1}{2}", "fractions"), ("x^2-1", "formulas")):
        if parsed(text) is None:
            raise RuntimeError(
                f"math-verify cannot parse {text!r}, so {why} would be graded wrong: install the versions in "
                "requirements/ (latex2sympy2_extended's antlr parser has changed)"
            )


_mend_percent()
self_test()
