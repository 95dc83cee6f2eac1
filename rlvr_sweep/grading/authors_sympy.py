"""The question that the second grader (authors.py) puts to sympy: is this formula, written in plain text, nothing?

    is_zero("(2x+1)-(1+x*2)")     # True
    is_zero("(x")                 # None: it cannot be read

Import it only where 0.3 s and 60 MB do not matter, in a worker. Names mean what NAMES says and symbols otherwise, so a
model's text calls nothing.
"""

from tokenize import TokenError

import sympy
from sympy.parsing.sympy_parser import (
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

NAMES = {name: getattr(sympy, name) for name in ("Symbol", "Function", "Integer", "Float", "Rational", "factorial")}
NAMES |= {"sqrt": sympy.sqrt, "pi": sympy.pi, "ln": sympy.log, "__builtins__": {}}
RULES = (*standard_transformations, implicit_multiplication_application)
UNREADABLE = (
    SyntaxError, TokenError, TypeError, ValueError, AttributeError, NameError, ZeroDivisionError, OverflowError,
    RecursionError,
)  # fmt: skip
POINTS = (sympy.Rational(37, 29), sympy.Rational(-23, 17))


def is_zero(text: str) -> bool | None:
    """Whether sympy simplifies the formula to 0, None where it cannot be read. May take long: it has no limit."""
    try:
        difference = parse_expr(text.replace("^", "**"), global_dict=dict(NAMES), transformations=RULES)
        return _vanishes(difference)
    except UNREADABLE:
        return None


def _vanishes(difference: object) -> bool | None:
    if not isinstance(difference, sympy.Expr):
        return None
    if difference == 0:
        return True
    if _differs(difference):  # most wrong answers are found so, in a fraction of simplify's time
        return False
    return bool(sympy.simplify(difference) == 0)


def _differs(difference: sympy.Expr) -> bool:
    """Whether the formula has a value that is clearly not 0 at the points tried."""
    symbols = sorted(difference.free_symbols, key=str)
    for shift in range(len(POINTS) if symbols else 1):
        at = [(symbol, POINTS[(shift + i) % len(POINTS)]) for i, symbol in enumerate(symbols)]
        number = sympy.N(difference.subs(at), 30)
        if number.is_number and number.is_finite and abs(number) > 1e-6:
            return True
    return False
