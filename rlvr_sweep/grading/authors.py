r"""The second math grader: what the authors of Spurious Rewards take as an answer, and as a right one.

    extract("So the answer is 7 apples.")              # "7": an answer needs no box (spurious_rewards 1.5)
    grade(pred=extract(r"\boxed{142}"), gold="142.0")  # True (section 5)

Written from the description of that grader in arXiv 2506.10947's notes and tests, not from its code. It is kept beside
math-verify with its faults, so that numbers can be compared: 495 of MATH-500's 500 gold answers are right when echoed,
and grade(pred="", gold="") is True, so an empty label rewards completions that hold no answer. `grade` and `judge` have
no time limit: use `pool.Grader.verify(pairs, verifier=authors.NAME)` for text that a model wrote.
"""

import re
from fractions import Fraction
from functools import lru_cache

from rlvr_sweep.grading import guard
from rlvr_sweep.grading.authors_forms import claimed, plain_form, tex_form
from rlvr_sweep.grading.verdict import Outcome

NAME = "authors"  # of this verifier, for pool.Grader
LONGEST = 512  # characters of an answer that is compared as more than a text
MOST_LETTERS = 2  # distinct ones, beyond those of sqrt, in what sympy is asked
EXACT_DIGITS = 12  # decimals of so few digits are compared as the numbers they write, as sympy's floats come out too

_NUMBER = re.compile(r"-?\d*\.?\d+")
_WHOLE = re.compile(r"-?\d+")
_SIMPLE = re.compile(r"\(?-?\d+\)?/\(?-?\d+\)?")
_DECIMAL = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:/\d+)?")
_ASKED = re.compile(r"[a-z0-9+\-*/^().!]+")  # what sympy may evaluate; a model's text is no program
_REFUSED = re.compile(r"\^\(|\^\d\d|\.[a-z]")
_CHOICES = ("A", "B", "C", "D")


def extract(text: str) -> str:
    r"""The answer claimed in a completion, "" where there is none. The first of these that the text holds:

    ``final answer is $...$. I hope``; what follows the last "boxed" (in its braces, matched or not, else up to a
    ``$``); what follows the last "he answer is", the last "final answer is", the last "答案是"; its last number.
    """
    return claimed(_raw(text))


def _raw(text: str) -> str:
    _, opening, rest = text.rpartition("final answer is $")
    if opening and "$. I hope" in rest:
        return rest.partition("$. I hope")[0]
    _, boxed, rest = text.rpartition("boxed")
    if boxed:
        return _braced(rest) if rest.startswith("{") else rest.partition("$")[0]
    for words in ("he answer is", "final answer is", "答案是"):
        _, found, rest = text.rpartition(words)
        if found:
            return rest
    numbers = _NUMBER.findall(text.replace(",", ""))
    return numbers[-1] if numbers else ""


def _braced(text: str) -> str:
    """What stands in the braces that open at the start of `text`; to its end where they never close."""
    depth = 0
    for match in re.finditer(r"[{}]", text):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return text[1 : match.start()]
    return text[1:]


def claim(text: str, *, gold: str, tagged: bool = False) -> str:
    """As `extract`; where the gold answer is the letter A, B, C or D, the last of these that stands alone in the
    upper-cased text, which the article "a" does too (spurious_rewards 1.2).

    `tagged` (their r1 style): only what follows the last ``<answer>``, or the whole text without one; of its end all
    letters and signs of the closing tag go, so that "newer</answer>" is cut to nothing.
    """
    if tagged:
        text = text.rpartition("<answer>")[2].rstrip("</answer>")
    if not is_choice(gold):
        return extract(text)
    letters = re.findall(r"\b[A-D]\b", text.upper())
    return letters[-1] if letters else ""


def is_choice(gold: str) -> bool:
    """Whether what answers are compared with, a gold answer or a pseudo-label, makes a task one of multiple choice."""
    return gold in _CHOICES


def grade(*, pred: str, gold: str) -> bool:
    """Whether an extracted answer is right. Two empty texts are equal. No time limit."""
    return judge(gold=gold, answer=pred)[0] is True


def judge(*, gold: str, answer: str) -> Outcome:
    """(verdict, reason) of an extracted answer; imports sympy where `fast_judge` does not know. Unlimited in time."""
    known = fast_judge(gold, answer)
    if known is not None:
        return known
    for g, a in _pairs(plain_form(gold), plain_form(answer)):
        if _by_numbers(g, a) is None:
            verdict = _by_sympy(g, a)
            if not verdict[0]:
                return verdict
    return True, "equal"


def fast_judge(gold: str, answer: str | None) -> Outcome | None:
    """The verdict that needs no sympy, else None. Never raises, and is bounded in time."""
    if answer is None:
        return False, "no_answer"
    if answer == gold:
        return True, "equal"
    if not answer.strip():
        return False, "empty"
    if len(answer) > LONGEST or len(gold) > LONGEST:
        return False, "too_long"
    g, a = _forms(gold), _forms(answer)
    if g[0] == a[0] or (g[1] == a[1] != ""):
        return True, "equal"
    if not a[1]:
        return False, "empty"
    pairs = _pairs(g[1], a[1])
    verdicts = [_by_numbers(*pair) for pair in pairs]
    if not pairs or False in verdicts:
        return False, "not_equal"
    if None not in verdicts:
        return True, "equal"
    refusals = [guard.refusal(text) for pair in pairs for text in pair]
    return (False, "too_big") if any(refusals) else None


@lru_cache(maxsize=1 << 14)
def _forms(text: str) -> tuple[str, str]:
    return tex_form(text), plain_form(text)


def _pairs(gold: str, answer: str) -> list[tuple[str, str]]:
    """The items to be compared, each with its counterpart; none where two lists differ in number or brackets. Only what
    stands in brackets is a list."""
    g, a = _items(gold), _items(answer)
    if len(g) != len(a) or (len(g) > 1 and (gold[0], gold[-1]) != (answer[0], answer[-1])):
        return []
    return list(zip(g, a, strict=True))


def _items(text: str) -> list[str]:
    listed = re.fullmatch(r"[(\[]([^()\[\]]+)[)\]]", text)
    return listed[1].split(",") if listed else [text]


def _by_numbers(gold: str, answer: str) -> bool | None:
    """Fractions are compared as texts, so 2/4 is not 1/2; a whole number equals none that is not written as one; None
    where sympy decides."""
    if _SIMPLE.fullmatch(gold) and _SIMPLE.fullmatch(answer):
        return gold == answer
    whole = _WHOLE.fullmatch(gold), _WHOLE.fullmatch(answer)
    if all(whole):
        return int(gold) == int(answer)
    if any(whole):
        return False
    g, a = _exact(gold), _exact(answer)
    if g is not None and a is not None:
        return g == a
    joined = gold + answer
    letters = set(re.findall("[a-z]", joined.replace("sqrt", "")))
    if len(letters) > MOST_LETTERS or _REFUSED.search(f"{gold} {answer}") or not _ASKED.fullmatch(joined):
        return False
    return None


def _exact(text: str) -> Fraction | None:
    if not _DECIMAL.fullmatch(text) or sum(sign.isdigit() for sign in text) > EXACT_DIGITS:
        return None
    number, _, under = text.partition("/")
    return Fraction(number) if not under else Fraction(number) / int(under) if int(under) else None


def _by_sympy(gold: str, answer: str) -> Outcome:
    """Whether sympy simplifies the difference to 0."""
    from rlvr_sweep.grading.authors_sympy import is_zero

    equal = is_zero(f"({gold})-({answer})")
    if equal is None:
        return False, "parse_fail"
    return (True, "equal") if equal else (False, "not_equal")
