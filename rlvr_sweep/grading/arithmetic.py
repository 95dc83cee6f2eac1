"""Bounded arithmetic on the numbers of answers: rationals exactly, everything else to 50 digits.

    power(Fraction(2), Fraction(1, 2)); same(operate("/", Fraction(1), Fraction(3)), Fraction(1, 3))

Every step is bounded before it is taken: what would pass the limits below raises NotClosedError at no cost.
"""

from fractions import Fraction
from functools import lru_cache
from math import factorial, isqrt
from typing import Any

MOST_BITS = 24_000  # of a numerator or denominator: 2006! has 19,200
LARGEST_FACTORIAL = 2_100
LARGEST_MAGNITUDE = 40_000  # binary exponent of an irrational number
LARGEST_ARGUMENT = 10_000  # of an exponential or trigonometric function; also keeps towers of exp from starting
DIGITS = 50
AGREE = 30  # digits two irrational numbers must share
FUNCTIONS = ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "exp")
TRIGONOMETRIC = FUNCTIONS[:6]

Value = Any  # Fraction, or mpmath's mpf or mpc (mpmath is untyped, and imported only for irrational numbers)


class NotClosedError(Exception):
    """The text is no closed form, or its value passes the limits."""


@lru_cache(maxsize=1)
def mp50() -> Any:
    """mpmath at DIGITS digits; a context of our own, so nobody else's precision changes."""
    import mpmath

    context = mpmath.mp.clone()
    context.dps = DIGITS
    return context


def checked(number: Value) -> Value:
    """`number`, if it is finite and within the limits; a complex number without imaginary part as a real one."""
    if isinstance(number, Fraction):
        if number.numerator.bit_length() > MOST_BITS or number.denominator.bit_length() > MOST_BITS:
            raise NotClosedError
        return number
    mp = mp50()
    if isinstance(number, mp.mpc):
        number = number.real if number.imag == 0 else number
    size = mp.mag(number) if mp.isfinite(number) else LARGEST_MAGNITUDE
    if number != 0 and abs(size) >= LARGEST_MAGNITUDE:
        raise NotClosedError
    return number


def real(number: Value) -> Value:
    """A Fraction as mpmath's own number, others unchanged."""
    return mp50().mpf(number.numerator) / number.denominator if isinstance(number, Fraction) else number


def operate(sign: str, a: Value, b: Value) -> Value:
    """`a` + - * / `b`."""
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = real(a), real(b)
    if sign == "/" and b == 0:
        raise NotClosedError
    return checked(a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b)


def power(base: Value, exponent: Value) -> Value:
    """`base` to the `exponent`; odd roots of negative numbers are real, as schools take them."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        n = int(exponent)
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(n) * bits > MOST_BITS or (n < 0 and base == 0):
            raise NotClosedError
        return base**n
    mp = mp50()
    a, b = real(base), real(exponent)
    if a == 0 or abs(b) * (abs(mp.mag(a)) + 1) > LARGEST_MAGNITUDE:
        raise NotClosedError
    if isinstance(exponent, Fraction) and isinstance(a, mp.mpf) and a < 0 and exponent.denominator % 2 == 1:
        size = mp.power(-a, b)
        return checked(-size if exponent.numerator % 2 else size)
    return checked(mp.power(a, b))


def root(radicand: Value, index: Value) -> Value:
    """The `index`-th root, exact where `radicand` is a rational square."""
    if isinstance(radicand, Fraction) and index == 2 and radicand >= 0:
        top, bottom = isqrt(radicand.numerator), isqrt(radicand.denominator)
        if top * top == radicand.numerator and bottom * bottom == radicand.denominator:
            return Fraction(top, bottom)
    if index == 0:
        raise NotClosedError
    if radicand == 0:
        return Fraction(0)
    if index == 2:
        return checked(mp50().sqrt(real(radicand)))
    return power(radicand, operate("/", Fraction(1), index))


def factorial_of(number: Value) -> Value:
    """`number`!, for whole numbers up to LARGEST_FACTORIAL."""
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= LARGEST_FACTORIAL:
        raise NotClosedError
    return checked(Fraction(factorial(int(number))))


def function(name: str, argument: Value) -> Value:
    """One of FUNCTIONS (log to base 10) at `argument`, angles in radians."""
    mp = mp50()
    x = real(argument)
    if x == 0 if name in ("ln", "log") else abs(x) > LARGEST_ARGUMENT:
        raise NotClosedError
    functions = {"arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "ln": mp.ln, "log": mp.log10, "exp": mp.exp}
    try:
        result = checked((functions.get(name) or getattr(mp, name))(x))
    except (ValueError, ZeroDivisionError):
        raise NotClosedError from None
    if name in TRIGONOMETRIC and abs(result) > mp.mpf(10) ** AGREE:
        raise NotClosedError  # a pole, such as tan of 90 degrees, met within rounding
    return result


def same(a: Value, b: Value, *, digits: int = AGREE) -> bool:
    """Whether two values are one number: exactly where both are rational, else to `digits` significant digits."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    mp = mp50()
    a, b = real(a), real(b)
    scale = max(abs(a), abs(b))
    # an exact zero has no digits to share: what is left of \cos 90^\circ is rounding, below any number an answer writes
    return abs(a - b) <= scale * mp.mpf(10) ** -digits or (0 in (a, b) and scale < mp.mpf(10) ** (5 - DIGITS))


def close(a: Value, b: Value, *, digits: int) -> bool:
    """Whether two values share `digits` significant digits, rational or not."""
    return same(real(a), real(b), digits=digits)
