"""Numbers in closed form, and the limits before each step."""

import math
from fractions import Fraction

import pytest

from rlvr_sweep.grading.arithmetic import same
from rlvr_sweep.grading.closed_form import value
from rlvr_sweep.grading.guard import refusal
from rlvr_sweep.grading.notation import normalise, split


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-2^2", Fraction(-4)),
        (r"\frac12", Fraction(1, 2)),
        (r"-1\frac{1}{2}", Fraction(-3, 2)),
        ("1 1/2", Fraction(3, 2)),
        (r"2\frac{3}{2}", Fraction(3)),  # no mixed number: its fraction is above 1
        ("2^10", Fraction(1024)),
        (r"\sqrt[3]{-8}", Fraction(-2)),
        ("1/2*3", Fraction(3, 2)),
        ("(2)(3)", Fraction(6)),
        (r"\binom{5}{2}", Fraction(10)),
        ("50%", Fraction(1, 2)),
        ("|-3|", Fraction(3)),
    ],
)
def test_rational_values(text: str, number: Fraction) -> None:
    assert same(value(text), number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\frac{3\sqrt{3}}{4}", 3 * math.sqrt(3) / 4),
        (r"(1/2)\sqrt{3}", math.sqrt(3) / 2),
        (r"\sin(30^\circ)+\sin 30^\circ", 1.0),
        (r"\frac{\ln 5}{2 \ln 2 - 3 \ln 5}", math.log(5) / (2 * math.log(2) - 3 * math.log(5))),
        (r"6 * 900^{2/3}", 6 * 900 ** (2 / 3)),
        ("e^2", math.e**2),
        (r"\log 1000", 3.0),
    ],
)
def test_irrational_values(text: str, number: float) -> None:
    found = value(text)
    assert found is not None and float(found) == pytest.approx(number, rel=1e-14)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2 3",
        "1/0",
        "2+",
        "(1",
        "9^{9^9}",
        "3000!",
        r"e^{e^{e^{10}}}",
        r"\tan 90^\circ",
        r"\ln 0",
        "1:2:3",
        "0^{-1}",
        r"1/2\pi",
    ],
)
def test_what_is_no_closed_form(text: str) -> None:
    assert value(text) is None


@pytest.mark.parametrize(
    "text", ["9^{9^9}", "3^{10^8}", "10^6!", "(10^6)!", "3!!!!", "{" * 30, r"\binom{10^9}{3}", "2^{x!^{9!!!}}"]
)
def test_the_guard_refuses(text: str) -> None:
    assert refusal(text) == "too_big"


@pytest.mark.parametrize(
    "text", ["x^{2023}", "2^{2^n}", "e^{x^2}", r"4 \cdot 7!", "n!", r"\binom{n}{2}", "x_{10000000}"]
)
def test_the_guard_lets_honest_formulas_through(text: str) -> None:
    assert refusal(text) is None


def test_notation() -> None:
    assert normalise(r"\left( 3,\ \dfrac{\pi}{2} \right)") == r"( 3, \frac{\pi}{2} )"
    assert split(normalise(r"(-\infty, 2] ")) == ("(]", (r"-\infty", "2"))
    assert split("(4)") == ("", ("4",))
    assert split(r"\{\}") == ("{}", ())
    assert normalise(r"\boxed{5}") == normalise("$5$") == normalise(r"\(5\)") == normalise("**5**") == "5"
