"""What the grader says of an answer: right, wrong, or not to be known; and why.

Verdict(correct=None, reason="timeout")
"""

from typing import Literal, NamedTuple

Reason = Literal[
    "equal",
    "not_equal",
    "no_answer",  # nothing was extracted: False
    "empty",  # an empty box: False
    "too_long",  # an answer beyond LONGEST characters: False
    "too_big",  # an answer whose exponents, factorials or nesting pass the guard: False
    "unevaluated",  # an integral, sum, product or limit left standing where the gold answer has none: False
    "parse_fail",  # an answer math-verify cannot read: False
    "wrong_form",  # by a rule's verifier: not written as that rule's answers are: False
    "wrong_count",  # more or fewer items than the gold answer: False
    "wrong_order",  # its items, in another order that is not its: False
    "wrong_items",  # an expression of other numbers or operators than those given: False
    "extra_text",  # more than an answer: False
    "gold_unparseable",  # None
    "timeout",  # soft limit: None
    "killed",  # hard limit, or the worker died: None
    "memory",  # memory limit: None
    "error",  # an exception nobody foresaw, logged: None
]


class Verdict(NamedTuple):
    """`correct`: None where it cannot be known. No answer and an unreadable answer are False."""

    correct: bool | None
    reason: Reason


Outcome = tuple[bool | None, Reason]  # a verdict on its way, as judges return it
