r"""The value of a number written in closed form, in LaTeX or in plain text, without sympy.

    value(r"-1\frac{4}{5}") == Fraction(-9, 5); value("x+1") is None
    value(r"3\sqrt{13}"), value(r"\cos 60^\circ"), value("1/2004!"), value("2*sqrt(3)"), value("1e3")

Texts are short and every step is bounded (`arithmetic`), so none costs more than some milliseconds.
"""

import re
from fractions import Fraction
from functools import lru_cache

from rlvr_sweep.grading.arithmetic import (
    FUNCTIONS,
    TRIGONOMETRIC,
    NotClosedError,
    Value,
    checked,
    factorial_of,
    function,
    mp50,
    operate,
    power,
    real,
    root,
)  # fmt: skip

LONGEST = 200  # characters; a longer number is left to math-verify
DEEPEST = 20  # brackets within brackets
LARGEST_TENTH_POWER = 6_000  # of 1e6000

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+(?![\d.]))?|\.\d+)|(?P<command>\\[A-Za-z]+)"
    r"|(?P<name>sqrt|arcsin|arccos|arctan|sin|cos|tan|ln|exp|pi)|(?P<letter>[a-zA-Z])|(?P<sign>[-+*/^!%()|{}\[\]_:]))"
)


class _Parser:
    """Recursive descent over the tokens of one text; every method returns a value or raises NotClosedError."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise NotClosedError
            kind = str(match.lastgroup)
            token = match[kind]
            self.tokens.append(("command", "\\" + token) if kind == "name" else (kind, token))
            position = match.end()
        self.at = 0
        self.depth = 0
        self.bars = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, token: str) -> bool:
        if self.peek()[1] == token and self.peek()[0] != "end":
            self.at += 1
            return True
        return False

    def need(self, token: str) -> None:
        if not self.take(token):
            raise NotClosedError

    def whole(self) -> Value:
        result = self.sum()
        if self.peek()[0] != "end":
            raise NotClosedError
        return result

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotClosedError
        negative = self.take("-") or (self.take("+") and False)
        total = self.product()
        total = -total if negative else total
        while self.peek()[1] in ("+", "-"):
            sign = self.tokens[self.at][1]
            self.at += 1
            total = operate(sign, total, self.product())
        self.depth -= 1
        return total

    def product(self) -> Value:
        result = self.signed()
        divided = False
        while True:
            kind, token = self.peek()
            if token in ("*", "/", ":"):
                divided = token != "*"
                self.at += 1
                result = operate("*" if token == "*" else "/", result, self.signed())
            elif self.starts_factor(kind, token):
                if kind == "number" or divided:
                    raise NotClosedError  # "2 3" is no product; "1/2\\pi" has two readings, so math-verify's is taken
                result = operate("*", result, self.factor())
            else:
                return result

    def starts_factor(self, kind: str, token: str) -> bool:
        if kind in ("number", "command", "letter") or token in ("(", "{"):
            return True
        return token == "|" and not self.bars

    def signed(self) -> Value:
        return -self.factor() if self.take("-") else self.factor()

    def factor(self) -> Value:
        start = self.at
        base = self.postfix(self.primary())
        if self.at == start + 1 and self.tokens[start][0] == "number" and self.tokens[start][1].isdigit():
            base = self.mixed(base)
        if self.take("^"):
            base = self.postfix(power(base, self.exponent()))
        return base

    def mixed(self, whole: Value) -> Value:
        r"""``2\frac{1}{2}`` and ``2 1/2``: whole and fraction are added where both are digits and the fraction is
        below 1, else multiplied."""
        if self.take("\\frac"):
            start = self.at
            part = operate("/", self.argument(), self.argument())
            digits = all(kind == "number" or token in "{}" for kind, token in self.tokens[start : self.at])
            return operate("+" if digits and 0 <= part < 1 else "*", whole, part)
        ahead = [token for _, token in self.tokens[self.at : self.at + 3]]
        if (
            len(ahead) == 3
            and ahead[1] == "/"
            and ahead[0].isdigit()
            and ahead[2].isdigit()
            and int(ahead[0]) < int(ahead[2])
        ):
            self.at += 3
            return operate("+", whole, Fraction(int(ahead[0]), int(ahead[2])))
        return whole

    def exponent(self) -> Value:
        negative = self.take("-")
        kind, token = self.peek()
        if kind == "number":  # 2^10 is meant as two to the ten, though TeX sets it otherwise
            self.at += 1
            result = self.number(token)
        else:
            result = self.postfix(self.primary())
        return -result if negative else result

    def postfix(self, number: Value) -> Value:
        while True:
            if self.take("!"):
                number = factorial_of(number)
            elif self.take("%"):
                number = operate("/", number, Fraction(100))
            else:
                return number

    def number(self, token: str) -> Fraction:
        _, _, exponent = token.lower().partition("e")
        if exponent and abs(int(exponent)) > LARGEST_TENTH_POWER:
            raise NotClosedError
        return checked(Fraction(token))

    def argument(self) -> Value:
        r"""The argument of ``\frac`` or ``\sqrt``: a group, or one sign (``\frac12``: the digits are taken one by
        one)."""
        if self.take("{"):
            result = self.sum()
            self.need("}")
            return result
        kind, token = self.peek()
        if kind == "number" and token.isdigit() and len(token) > 1:
            self.tokens[self.at] = (kind, token[1:])
            return Fraction(int(token[0]))
        return self.primary()

    def primary(self) -> Value:
        kind, token = self.peek()
        self.at += 1
        if kind == "number":
            return self.number(token)
        if kind == "letter" and token in "ei":
            return mp50().e + 0 if token == "e" else mp50().mpc(0, 1)
        if kind == "command":
            return self.command(token[1:])
        if token in ("(", "{", "["):
            result = self.sum()
            self.need({"(": ")", "{": "}", "[": "]"}[token])
            return result
        if token == "|":
            self.bars += 1
            result = self.sum()
            self.bars -= 1
            self.need("|")
            return abs(result)
        raise NotClosedError

    def command(self, name: str) -> Value:
        if name == "pi":
            return mp50().pi + 0
        if name == "frac":
            top = self.argument()
            return operate("/", top, self.argument())
        if name == "binom":
            n, k = self.argument(), self.argument()
            return operate("/", factorial_of(n), operate("*", factorial_of(k), factorial_of(n - k)))
        if name not in ("sqrt", *FUNCTIONS):
            raise NotClosedError
        if name == "sqrt":
            index: Value = Fraction(2)
            if self.take("["):
                index = self.sum()
                self.need("]")
            return root(self.argument(), index)
        base = None
        if name == "log" and self.take("_"):
            base = self.argument()
        if self.peek()[1] == "^":
            raise NotClosedError  # \sin^2 and \sin^{-1} are left to math-verify
        argument = self.function_argument(name)
        result = function("ln" if base is not None else name, argument)
        return result if base is None else operate("/", result, function("ln", base))

    def function_argument(self, name: str) -> Value:
        bracketed = self.peek()[1] in ("(", "{")
        argument = self.factor_in_degrees(name)
        while not bracketed and self.starts_factor(*self.peek()) and self.peek()[1].lstrip("\\") not in FUNCTIONS:
            argument = operate("*", argument, self.factor_in_degrees(name))
        return argument

    def factor_in_degrees(self, name: str) -> Value:
        start = self.at
        if self.peek()[1] in ("(", "{"):
            depth, end = 0, self.at
            for end in range(self.at, len(self.tokens)):
                depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(self.tokens[end][1], 0)
                if depth == 0:
                    break
            if self.tokens[end - 2 : end] == [("sign", "^"), ("command", "\\circ")]:
                del self.tokens[end - 2 : end]
                return self.in_radians(name, self.primary())
        self.at = start
        base = self.postfix(self.primary())
        if self.peek()[1] == "^":
            self.at += 1
            if self.take("\\circ"):
                return self.in_radians(name, base)
            base = power(base, self.exponent())
        return base

    def in_radians(self, name: str, degrees: Value) -> Value:
        if name not in TRIGONOMETRIC:
            raise NotClosedError
        return real(degrees) * mp50().pi / 180


@lru_cache(maxsize=1 << 14)
def value(text: str) -> Value | None:
    """The number a normalised text (`notation.normalise`) writes: a Fraction, mpmath's mpf or mpc, or None where it is
    no closed form.

    None also for numbers beyond the module's bounds and for poles (1/0): such texts are judged by math-verify or
    refused by its guard.
    """
    if not text or len(text) > LONGEST or text.count(":") > 1:
        return None
    try:
        return checked(_Parser(text).whole())
    except (NotClosedError, RecursionError, ZeroDivisionError):
        return None
