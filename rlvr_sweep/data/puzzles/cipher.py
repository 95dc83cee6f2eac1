"""Puzzles: ciphers. Each difficulty is so many steps that turn a word into another, each stated in the question.

    FAMILY.problem(0, 2).prompt       # "... 1. Replace each letter by the one 7 places later ... 2. Write ..."

Half of the questions ask for the message behind a secret text. Words are drawn letters: there is nothing to guess by.
"""

import re
import string

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import clean
from rlvr_sweep.grading.verdict import Outcome

ALPHABET = string.ascii_uppercase
SHORTEST = 3  # letters of a word, to which each difficulty adds one

Step = tuple[str, int, str]  # its kind, its number, its key


def make(draws: Draws, difficulty: int) -> Instance:
    """A word of difficulty + 3 letters through `difficulty` steps, or back."""
    length = SHORTEST + difficulty
    steps: list[Step] = []
    for _ in range(difficulty):
        steps.append(_step(draws, length, before=[kind for kind, _, _ in steps[-2:]]))
    word = "".join(draws.one(ALPHABET) for _ in range(length))
    secret = word
    for step in steps:
        secret = _apply(step, secret)
    backwards = draws.below(2) == 1
    given, answer, todo = (secret, word, "decode") if backwards else (word, secret, "encode")
    listed = "\n".join(f"{n}. {_full(step)}" for n, step in enumerate(steps, start=1))
    asked = (
        f"The encoded word is {given}. What was the word before it was encoded?"
        if backwards
        else f"The word is {given}. What is it when encoded?"
    )
    full = f"A word is encoded by these steps, in this order:\n{listed}\n\n{asked}\n{ENDING.format(form='WORD')}"
    terse = f"{', '.join(_terse(step) for step in steps)}: {todo} {given}?"
    return Instance(f"{steps!r} {todo} {given}", full, terse, answer, difficulty)


def _step(draws: Draws, length: int, *, before: list[str]) -> Step:
    """A step of another kind than the two before it, which it might undo."""
    kind = draws.one([kind for kind in ("shift", "mirror", "backwards", "rotate", "key") if kind not in before])
    number = draws.between(1, 25) if kind == "shift" else draws.between(1, length - 1) if kind == "rotate" else 0
    key = "".join(draws.some(ALPHABET, len(ALPHABET))) if kind == "key" else ""
    return kind, number, key


def _apply(step: Step, word: str) -> str:
    kind, number, key = step
    if kind == "backwards":
        return word[::-1]
    if kind == "rotate":
        return word[number:] + word[:number]
    target = {"shift": ALPHABET[number:] + ALPHABET[:number], "mirror": ALPHABET[::-1], "key": key}[kind]
    return word.translate(str.maketrans(ALPHABET, target))


def _full(step: Step) -> str:
    kind, number, key = step
    return {
        "shift": f"Replace each letter by the one {number} places later in the alphabet; after Z comes A again.",
        "mirror": "Replace A by Z, B by Y, C by X, and so on to Z by A.",
        "backwards": "Write the word backwards.",
        "rotate": f"Move the first {f'{number} letters' if number > 1 else 'letter'} to the end of the word.",
        "key": f"Replace each letter of {ALPHABET} by the one below it in {key}.",
    }[kind]


def _terse(step: Step) -> str:
    kind, number, key = step
    return {"shift": f"+{number}", "mirror": "A-Z", "backwards": "<-", "rotate": f"rot{number}", "key": key}[kind]


def judge(*, gold: str, answer: str) -> Outcome:
    """One word, letter by letter, in either case."""
    g, a = clean(gold).upper(), clean(answer).upper()
    if not re.fullmatch(r"[A-Z]+", g):
        return None, "gold_unparseable"
    if a == g:
        return True, "equal"
    if not re.fullmatch(r"[A-Z]+", a):
        return False, "extra_text" if g in re.findall(r"[A-Z]+", a) else "wrong_form"
    if len(a) != len(g):
        return False, "wrong_count"
    return False, "wrong_order" if sorted(a) == sorted(g) else "not_equal"


FAMILY = Family("cipher", 9, "steps", make, judge)
