"""Puzzles: operations by made-up rules. Each difficulty is so many applications of operators that the question defines.

    FAMILY.problem(0, 2).prompt       # "... a # b = 3 x a + 2 x b + 5 ... What is (12 # 7) # 30?"

From difficulty 4 on two operators take turns, from 7 on each asks first which of its numbers is larger.
"""

from dataclasses import dataclass

from rlvr_sweep.data.puzzles.family import ENDING, Draws, Family, Instance
from rlvr_sweep.grading.rules_forms import by_number

MODULUS = 1000  # results stay short, however deep the expression
TWO_OPERATORS, BY_CASE = 4, 7  # the difficulties from which on they are
SYMBOLS = "#@"

Node = int | tuple[str, "Node", "Node"]


@dataclass(frozen=True)
class Rule:
    """x SYMBOL y = p x + q y + r; with `swaps`, where x < y it is q x + p y + r."""

    symbol: str
    p: int
    q: int
    r: int
    swaps: bool

    def apply(self, x: int, y: int) -> int:
        p, q = (self.q, self.p) if self.swaps and x < y else (self.p, self.q)
        return (p * x + q * y + self.r) % MODULUS

    def full(self) -> str:
        def linear(p: int, q: int) -> str:
            return f"{'' if p == 1 else f'{p} x '}a + {'' if q == 1 else f'{q} x '}b + {self.r}"

        defined = f"a {self.symbol} b ="
        usual = f"{defined} {linear(self.p, self.q)}"
        if not self.swaps:
            return usual
        return f"{usual} if a is at least as large as b, and {defined} {linear(self.q, self.p)} otherwise"

    def terse(self) -> str:
        def linear(p: int, q: int) -> str:
            return f"{'' if p == 1 else p}a+{'' if q == 1 else q}b+{self.r}"

        case = f" if a>=b else {linear(self.q, self.p)}" if self.swaps else ""
        return f"a{self.symbol}b={linear(self.p, self.q)}{case}"


def make(draws: Draws, difficulty: int) -> Instance:
    """An expression of `difficulty` applications over numbers from 1 to 99."""
    used = SYMBOLS[: 2 if difficulty >= TWO_OPERATORS else 1]
    largest = 3 if difficulty < TWO_OPERATORS else 9
    rules = {}
    for symbol in used:
        p, q = draws.some(range(1, largest + 1), 2)  # unequal, so that the order of the numbers counts
        rules[symbol] = Rule(symbol, p, q, draws.between(1, 9), difficulty >= BY_CASE)
    tree = _tree(draws, difficulty, used)
    stated = [rule for rule in rules.values() if rule.symbol in _text(tree)]
    value, largest_seen = _value(tree, rules)
    again = f"; results are taken modulo {MODULUS}" if largest_seen >= MODULUS else ""
    lines = "\n".join(rule.full() for rule in stated)
    if again:
        lines += f"\nEvery result is replaced by its remainder when divided by {MODULUS}."
    order = " Work from the inner brackets outwards." if difficulty > 1 else ""
    full = (
        f"A new operation on whole numbers is defined like this:\n{lines}\n\n"
        f"What is {_text(tree, blanks=True)}?{order}\n{ENDING.format(form='number')}"
    )
    terse = f"{', '.join(rule.terse() for rule in stated)}{again}. What is {_text(tree)}?"
    content = f"{stated!r} {_text(tree)}"
    return Instance(content=content, full=full, terse=terse, answer=str(value), size=difficulty)


def _tree(draws: Draws, applications: int, symbols: str) -> Node:
    if applications == 0:
        return draws.between(1, 99)
    left = draws.below(applications)
    symbol = draws.one(symbols)
    return symbol, _tree(draws, left, symbols), _tree(draws, applications - 1 - left, symbols)


def _value(node: Node, rules: dict[str, Rule]) -> tuple[int, int]:
    """The value of an expression, and a bound on the largest result that was reduced on the way to it."""
    if isinstance(node, int):
        return node, 0
    (x, above_x), (y, above_y) = _value(node[1], rules), _value(node[2], rules)
    rule = rules[node[0]]
    raw = max(rule.p, rule.q) * (x + y) + rule.r
    return rule.apply(x, y), max(raw, above_x, above_y)


def _text(node: Node, *, blanks: bool = False, inner: bool = False) -> str:
    if isinstance(node, int):
        return str(node)
    gap = " " if blanks else ""
    left, right = (_text(part, blanks=blanks, inner=True) for part in node[1:])  # pyright: ignore[reportArgumentType]
    text = f"{left}{gap}{node[0]}{gap}{right}"
    return f"({text})" if inner else text


judge = by_number
FAMILY = Family("operation", 9, "applications of an operator", make, judge)
