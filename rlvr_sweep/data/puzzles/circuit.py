"""Puzzles: boolean circuits. Each difficulty adds two gates; the answer is what every gate gives, in order.

    FAMILY.problem(0, 1).prompt       # "... G1 = A NAND (NOT C) ... Give the values of G1, G2, ..."

All gates are asked for, since one bit would be right half the time by chance.
"""

import re

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import clean, items
from rlvr_sweep.grading.verdict import Outcome

INPUTS = "ABCD"
GATES = {
    "AND": lambda x, y: x & y,
    "OR": lambda x, y: x | y,
    "XOR": lambda x, y: x ^ y,
    "NAND": lambda x, y: 1 - (x & y),
    "NOR": lambda x, y: 1 - (x | y),
    "IMPLIES": lambda x, y: (1 - x) | y,
}
MEANINGS = {
    "AND": "x AND y is 1 if both are 1",
    "OR": "x OR y is 1 if at least one is 1",
    "XOR": "x XOR y is 1 if exactly one is 1",
    "NAND": "x NAND y is 0 only if both are 1",
    "NOR": "x NOR y is 1 only if both are 0",
    "IMPLIES": "x IMPLIES y is 0 only if x is 1 and y is 0",
}
TERSE = {"AND": "&", "OR": "|", "XOR": "^", "NAND": "!&", "NOR": "!|", "IMPLIES": ">"}


def make(draws: Draws, difficulty: int) -> Instance:
    """2 * difficulty + 2 gates over four inputs; each takes two different values known by then."""
    values = {name: draws.below(2) for name in INPUTS}
    given = "".join(str(value) for value in values.values())
    full_gates, terse_gates, used = [], [], []
    for number in range(1, 2 * difficulty + 3):
        kind = draws.one(list(GATES))
        # A gate takes the last one's value where there is one, so that a mistake is carried on.
        first = f"G{number - 1}" if number > 1 else draws.one(INPUTS)
        second = draws.one([name for name in values if name != first])
        if draws.below(2):
            first, second = second, first
        inverted = draws.below(2)
        x, y = values[first], values[second]
        values[f"G{number}"] = GATES[kind](x, 1 - y if inverted else y)
        full_gates.append(f"G{number} = {first} {kind} {f'(NOT {second})' if inverted else second}")
        terse_gates.append(f"{first}{TERSE[kind]}{'!' if inverted else ''}{second}")
        used.append(kind)
    answer = "".join(str(values[name]) for name in values if name.startswith("G"))
    inputs = ", ".join(f"{name} = {values[name]}" for name in INPUTS)
    gates = "\n".join(full_gates)
    meanings = "; ".join(MEANINGS[kind] for kind in GATES if kind in used)
    full = (
        f"A circuit has the inputs {inputs}. Its gates are, in order:\n{gates}\n\n"
        f"Here {meanings}; NOT x is 1 if x is 0.\n"
        f"What does each gate give, from G1 to G{len(answer)}? Write the digits 0 and 1 one after the other, without "
        f"anything between them.\n{ENDING.format(form='digits')}"
    )
    terse = f"ABCD={given} {' '.join(terse_gates)}?"
    return Instance(f"{given} {terse_gates!r}", full, terse, answer, len(answer))


def judge(*, gold: str, answer: str) -> Outcome:
    """The bits in order, with or without blanks or commas between them."""
    g, a = _bits(gold), _bits(answer)
    if g is None:
        return None, "gold_unparseable"
    if a is None:
        return False, "extra_text" if gold in re.findall(r"[01]+", answer) else "wrong_form"
    return items(g, a)


def _bits(text: str) -> list[str] | None:
    packed = re.sub(r"[\s,]", "", clean(text))
    return list(packed) if re.fullmatch(r"[01]+", packed) else None


FAMILY = Family("circuit", 9, "gates", make, judge)
