r"""Answer to verdict, in one process: `judge` for one pair, `fast_judge` for those that need no sympy (most of a
training run's).

    judge(gold=r"\frac{1}{2}", answer="0.5")     # (True, "equal")
    judge(gold="5", answer=None)                 # (False, "no_answer")

A verdict is True, False, or None where it cannot be known; the reasons are listed in `Reason`. The policy, case by
case, is pinned in tests/grading/known_verdicts.py. `judge` has no time limit of its own: use `pool.Grader` for text
that a model wrote.
"""

import re
from collections.abc import Sequence

from rlvr_sweep.grading import notation
from rlvr_sweep.grading.arithmetic import Value, close, same
from rlvr_sweep.grading.closed_form import value
from rlvr_sweep.grading.verdict import Outcome

LONGEST = 512  # characters of an answer
EXACT_DIGITS = 12  # a decimal written with so many significant digits may be a double that code printed
MOST_ITEMS = 40  # of a list or set compared here, each with each
PRINTED_DIGITS = 10  # digits such a decimal must share with the gold answer

_AFTER_COMMA = re.compile(r"(?<=,)\s+")
_SPACES = re.compile(r"(?<!\d) | (?!\d)")
_DECIMAL = re.compile(r"-?\d*\.(\d+)")
_BASED = re.compile(r"([\dA-Z]+)_(\d+)")
_LEFT = re.compile(r"([A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\\[a-z]+) ?= ?(?=\S)")
_MEMBER = re.compile(r"([A-Za-z]) ?\\in ?(?=[(\[])")
_INFINITIES = {r"\infty": 1, r"+\infty": 1, r"-\infty": -1}
_UNORDERED = ("", ",", "{}")


def _tight(text: str) -> str:
    return _SPACES.sub("", text)


def _printed(text: str) -> bool:
    decimal = _DECIMAL.fullmatch(text)
    return decimal is not None and len(text.lstrip("-0.").replace(".", "")) >= EXACT_DIGITS


def _numbers(gold: str, answer: str) -> bool | None:
    """Whether two texts are one number; None where one of them is no closed form."""
    if gold in _INFINITIES or answer in _INFINITIES:
        if gold in _INFINITIES and answer in _INFINITIES:
            return _INFINITIES[gold] == _INFINITIES[answer]
        return None if value(gold) is None and value(answer) is None else False
    bases = _BASED.fullmatch(gold), _BASED.fullmatch(answer)
    if any(bases):  # digits are compared; a base only where both write one
        (g, b), (a, c) = (
            match.groups() if match else (text, None) for match, text in zip(bases, (gold, answer), strict=True)
        )
        return g == a and (b is None or c is None or b == c)
    of_hundred = gold.endswith("%"), answer.endswith("%")
    g, a = value(gold.rstrip("% ")), value(answer.rstrip("% "))
    if g is None or a is None:
        return None
    if _equal(g, a, gold, answer):
        return True
    if of_hundred[0] == of_hundred[1]:
        return False
    return _equal(g / 100 if of_hundred[0] else g, a / 100 if of_hundred[1] else a, gold, answer)


def _equal(g: Value, a: Value, gold: str, answer: str) -> bool:
    if same(g, a):
        return True
    return (_printed(gold) or _printed(answer)) and close(g, a, digits=PRINTED_DIGITS)


def _item(gold: str, answer: str) -> bool | None:
    if _tight(gold) == _tight(answer):
        return True
    names = _LEFT.match(gold), _LEFT.match(answer)
    if all(names) and names[0][1] == names[1][1]:  # pyright: ignore[reportOptionalSubscript]
        return _numbers(gold[names[0].end() :], answer[names[1].end() :])  # pyright: ignore[reportOptionalMemberAccess]
    if names[1] and not names[0]:  # "x = 2 + 3 = 5" ends in its claim
        return _numbers(gold, answer.rpartition("=")[2].strip())
    if names[0] and not names[1]:
        return _numbers(gold[names[0].end() :], answer)
    return _numbers(gold, answer)


def _ordered(gold: Sequence[str], answer: Sequence[str]) -> bool | None:
    if len(gold) != len(answer):
        return False
    verdicts = [_item(g, a) for g, a in zip(gold, answer, strict=True)]
    return False if False in verdicts else None if None in verdicts else True


def _unordered(gold: Sequence[str], answer: Sequence[str]) -> bool | None:
    if max(len(gold), len(answer)) > MOST_ITEMS:
        return None
    verdicts = [[_item(g, a) for a in answer] for g in gold]
    covered = [*(True in row for row in verdicts), *(True in column for column in zip(*verdicts, strict=True))]
    if all(covered):
        return True
    return None if any(None in row for row in verdicts) else False


def _plus_minus(items: Sequence[str]) -> tuple[str, ...]:
    r"""``1 \pm \sqrt{5}`` written as its two values."""
    result: list[str] = []
    for item in items:
        signs = ("+", "-") if item.count(r"\pm") == 1 else ("",)
        result += [item.replace(r"\pm", sign).strip() for sign in signs]
    return tuple(result)


def _words(gold: str, answer: str) -> bool | None:
    """A verdict where one side is a word or label; None where formulas must decide (``ab`` against ``ba`` is a
    product)."""
    g, a = notation.word(gold), notation.word(answer)
    if g is None and a is None:
        return None
    if g is None or a is None:
        known = g or a
        other = answer if a is None else gold
        letters = other.strip("()")
        if known and len(known.text) == 1:
            return known.text == letters if letters.isalpha() else None
        return False if (known and known.quoted) or value(other) is not None else None
    if g.text == a.text or (not (g.label and a.label) and g.text.casefold() == a.text.casefold()):
        return True
    product = sorted(g.text) == sorted(a.text) and not (g.quoted or a.quoted or g.label)
    return None if product else False


def _parts(gold: str, answer: str) -> bool | None:
    members = _MEMBER.match(gold), _MEMBER.match(answer)
    if sum(map(bool, members)) == 1:
        gold, answer = _MEMBER.sub("", gold, count=1), _MEMBER.sub("", answer, count=1)
    g, a = notation.split(gold), notation.split(answer)
    relations = any("=" in item or "<" in item or ">" in item for item in (*g.items, *a.items))
    if g.kind in _UNORDERED and a.kind in _UNORDERED:
        if g.kind == a.kind == "" and r"\pm" not in gold + answer:
            return _ratio(g.items[0], a.items[0]) if ":" in gold and ":" in answer else _item(g.items[0], a.items[0])
        left, right = _plus_minus(g.items), _plus_minus(a.items)
        if not left or not right:
            return (not left and not right) or None
        return _unordered(left, right)
    if g.kind == a.kind:
        return _ordered(g.items, a.items)
    if relations or "" in (g.kind, a.kind):
        return None  # "x > 2" against an interval, "x=1, y=2" against a point: math-verify knows
    return False  # brackets say what a thing is: (1,2) is neither {1,2} nor "1, 2" nor [1,2]


def _ratio(gold: str, answer: str) -> bool | None:
    """``2:3`` against ``4:6``, any number of terms; None where a term is no closed form."""
    g, a = ([value(term.strip()) for term in side.split(":")] for side in (gold, answer))
    if None in (*g, *a):
        return None
    return len(g) == len(a) and all(same(x * a[0], y * g[0]) for x, y in zip(g, a, strict=True))  # pyright: ignore[reportOptionalOperand]


def fast_judge(gold: str, answer: str | None) -> Outcome | None:
    """The verdict that needs no sympy, else None: equal texts, words, numbers in closed form, and points, lists, sets,
    intervals of them.

    Never raises and is bounded in time (milliseconds for the worst text), so it runs in the process that asks.
    """
    if answer is None:
        return False, "no_answer"
    if not answer.strip():
        return False, "empty"
    if _AFTER_COMMA.sub("", gold.strip()) == _AFTER_COMMA.sub("", answer.strip()) != "":
        return True, "equal"
    if len(answer) > LONGEST:
        return False, "too_long"
    gold, answer = notation.normalise(gold), notation.normalise(answer)
    if not answer:
        return False, "empty"
    if not gold:
        return None, "gold_unparseable"
    if _tight(gold) == _tight(answer):
        return True, "equal"
    verdict = _words(gold, answer)
    if verdict is None:
        verdict = _parts(gold, answer)
    return None if verdict is None else (verdict, "equal" if verdict else "not_equal")


def judge(*, gold: str, answer: str | None) -> Outcome:
    """(verdict, reason) of one pair. Imports math-verify (0.3 s, once) where `fast_judge` does not know. Unlimited in
    time."""
    outcome = fast_judge(gold, answer)
    if outcome is None and answer is not None:
        from rlvr_sweep.grading import symbolic

        outcome = symbolic.judge(gold=notation.normalise(gold), answer=notation.normalise(answer))
    assert outcome is not None
    return outcome
