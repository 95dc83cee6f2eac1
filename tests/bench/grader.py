r"""How fast the grader is, on this machine: completions a second a core, and what a hostile answer costs.

    python -m tests.bench.grader                # a minute; goals: 2,000 repeated, 300 fresh, 3 s a hostile answer
    python -m tests.bench.grader --pairs 500    # shorter

Each mix is measured with math-verify alone and with both graders, as evaluations and rollouts ask them.
A core-second is CPU time of this process and its worker together, so a busy machine changes little. Mixes are printed.
"""

import argparse
import itertools
import os
import random
import time
from collections.abc import Callable, Sequence

from rlvr_sweep.grading import authors, rules
from rlvr_sweep.grading.extraction import extract
from rlvr_sweep.grading.pool import Grader, versions

PROSE = (
    "First, let $x$ be the number of marbles, so that $3x + 7 = 2x + \\frac{{{n}}}{{2}}$. Subtracting $2x$ from both "
    "sides we get $x = {n}$, and then we check: `print(3 * {n} + 7)` gives {m}. Therefore the remaining part is "
    "\\(\\sqrt{{{m}}}\\). "
)
Kind = Callable[[random.Random], tuple[str, str]]


def _integer(rng: random.Random) -> tuple[str, str]:
    n = rng.randint(-99_999, 99_999)
    return str(n), rng.choice([f"{n}", f"{n}.0", f"{n:,}", f"x = {n}", f"{n + 1}", f"{n}\\text{{ cm}}"])


def _decimal(rng: random.Random) -> tuple[str, str]:
    n = rng.randint(1, 10**6) * 2 + 1
    return f"{n / 1000}", rng.choice([f"{n / 1000}0", f"\\frac{{{n}}}{{1000}}", f"{(n + 1) / 1000}"])


def _fraction(rng: random.Random) -> tuple[str, str]:
    a, b = rng.randint(1, 9_999), rng.randint(2, 999)
    gold = f"\\frac{{{a}}}{{{b}}}"
    return gold, rng.choice([f"\\dfrac{{{2 * a}}}{{{2 * b}}}", f"{a}/{b}", f"\\frac{{{a + 1}}}{{{b}}}"])


def _radical(rng: random.Random) -> tuple[str, str]:
    a, b, c = rng.randint(2, 99), rng.choice([2, 3, 5, 7, 11, 13]), rng.randint(2, 99)
    gold = f"{c} + {a}\\sqrt{{{b}}}"
    return gold, rng.choice([f"{c} + \\sqrt{{{a * a * b}}}", f"{a}\\sqrt{{{b}}} + {c}", f"{c} - {a}\\sqrt{{{b}}}"])


def _formula(rng: random.Random) -> tuple[str, str]:
    a, b = rng.randint(2, 99), rng.randint(1, 99)
    gold = f"(x + {a})(x - {b})"
    return gold, rng.choice(
        [f"x^2 + {a - b}x - {a * b}" if a > b else f"x^2 - {b - a}x - {a * b}", f"(x - {b})(x + {a})", f"x^2 + {a}"]
    )


NUMBERS: dict[Kind, int] = {_integer: 70, _decimal: 8, _fraction: 14, _radical: 8}
WITH_FORMULAS: dict[Kind, int] = {_integer: 65, _decimal: 5, _fraction: 12, _radical: 8, _formula: 10}

_ROWS = r"\\".join("&".join(f"a_{{{i}{j}}}" for j in range(6)) for i in range(6))
HOSTILE = {
    "tower": "9^{9^9}",
    "large power": "3^{10^8}",
    "factorial": "10^6!",
    "binomial": r"\binom{10^9}{5 \cdot 10^8}",
    "long sum": r"\sum_{n=1}^{10^5} 1/n",
    "product": r"\prod_{n=1}^{10^6} n",
    "integral": r"\int_0^1 \frac{\ln(1+x)}{1+x^2} dx",
    "300 brackets": "(" * 300 + "5" + ")" * 300,
    "5000 open braces": "{" * 5000,
    "2000 terms": "+".join(["x"] * 2000),
    "60 powers": "+".join(f"x^{{{i}}}" for i in range(60)),
    "large expansion": "(x+y+z+w)^{900}=0",
    "product of sums": "".join(f"(x+{i})" for i in range(1, 80)),
    "nested sines": r"\sin(\sin(\sin(\sin(x^{100}))))",
    "nested roots": r"\sqrt{x+" * 20 + "1" + "}" * 20,
    "continued fraction": r"x+\frac{1}{" * 12 + "x" + "}" * 12,
    "odd roots": "x^{1/97}+x^{1/89}+x^{1/83}=5",
    "determinant": rf"\begin{{vmatrix}}{_ROWS}\end{{vmatrix}}",
    "hard equation": r"\sin(x)+\cos(x^2)+e^x+x^7=\ln(x)",
    "system": r"x^5+y^5=1, x^7-y^3=2, x^9y^9=3",
}
HOSTILE_GOLDS = ("x^2 + 1", "x^2 + y^2 = 1", r"x \in (0, 1)", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}")


def completion(answer: str, rng: random.Random) -> str:
    """A text of about 300 tokens (1,200 characters) that ends with a box."""
    return PROSE.format(n=rng.randint(1, 999), m=rng.randint(1, 999)) * 5 + f"The answer is $\\boxed{{{answer}}}$."


def drawn(mix: dict[Kind, int], count: int, rng: random.Random) -> list[tuple[str, str]]:
    """`count` distinct (gold, completion)."""
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < count:
        kind = rng.choices(list(mix), weights=list(mix.values()))[0]
        pairs[kind(rng)] = None
    return [(gold, completion(answer, rng)) for gold, answer in pairs]


def shares(mix: dict[Kind, int]) -> str:
    """The mix in words, in percent."""
    return ", ".join(f"{kind.__name__[1:]} {weight}%" for kind, weight in mix.items())


def _worker_cpu(grader: Grader) -> float:
    """CPU seconds of the grader's live workers (Linux)."""
    total = 0
    for pid in grader.worker_pids():
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def measure(
    grader: Grader, pairs: Sequence[tuple[str, str]], *, both: bool, batch: int = 512
) -> tuple[float, float, float]:
    """(completions a wall second, completions a core-second, share correct) of extraction and grading in batches."""
    cpu, wall = time.process_time() + _worker_cpu(grader), time.perf_counter()
    correct = 0
    for start in range(0, len(pairs), batch):
        part = pairs[start : start + batch]
        verdicts = grader.verify([(gold, extract(text, how="boxed")) for gold, text in part])
        correct += sum(bool(verdict.correct) for verdict in verdicts)
        if both:
            grader.verify([(gold, authors.claim(text, gold=gold)) for gold, text in part], verifier=authors.NAME)
    wall = time.perf_counter() - wall
    cpu = time.process_time() + _worker_cpu(grader) - cpu
    return len(pairs) / wall, len(pairs) / cpu, correct / len(pairs)


def hostile(grader: Grader) -> None:
    """Print the dearest hostile pairs, and how long an honest batch waits for its verdicts beside one."""
    costs = []
    for verifier, name, gold in itertools.product((rules.MATH, authors.NAME), HOSTILE, HOSTILE_GOLDS):
        start = time.perf_counter()
        verdict = grader.verify([(gold, HOSTILE[name])], verifier=verifier)[0]
        costs.append((time.perf_counter() - start, f"{name} against {gold} ({verifier})", verdict))
        grader.verify([(f"x+{len(costs)}", f"y+{len(costs)}")])  # a killed worker starts again off the clock
    costs.sort(key=lambda cost: cost[0], reverse=True)
    print(f"\nhostile answers: {len(costs)} judgements of {len(HOSTILE)} answers; the dearest (goal: 3 s)")
    for seconds, what, verdict in costs[:6]:
        print(f"  {seconds:5.2f} s  {verdict.correct!s:5} {verdict.reason:12} {what}")
    dearest = max(cost for cost, what, _ in costs if what.endswith(f"({authors.NAME})"))
    print(f"  the dearest for the authors' grader: {dearest:.2f} s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Grader throughput and the cost of hostile answers")
    parser.add_argument("--pairs", type=int, default=3000, help="fresh pairs a mix (repeated: four times as many)")
    count = parser.parse_args().pairs
    rng = random.Random(0)
    print("  ".join(f"{name} {release}" for name, release in versions().items()))

    def repeated(mix: dict[Kind, int], count: int, rng: random.Random) -> list[tuple[str, str]]:
        pool = drawn(mix, 256, rng)
        return [rng.choice(pool) for _ in range(count)]

    rows = [
        ("repeated (256 distinct)", repeated, WITH_FORMULAS, 4 * count, 2000),
        ("fresh numbers", drawn, NUMBERS, count, 300),
        ("fresh, with formulas", drawn, WITH_FORMULAS, count, 300),
        ("fresh formulas alone", drawn, {_formula: 100}, count // 10, None),
    ]
    print(f"{'texts of 1,200 characters':28}{'count':>7}{'/s wall':>10}{'/s core':>10}{'correct':>9}  goal   mix")
    for name, draw, mix, number, goal in rows:
        for both in (False, True):
            pairs = draw(mix, number, rng)  # others each time: parsers remember what they have seen
            with Grader(workers=1) as grader:  # a cache of its own for each measurement
                grader.verify([("x+1", "1+x")])  # the worker starts before the clock does
                wall, core, correct = measure(grader, pairs, both=both)
            shown = "  and the authors' grader" if both else name
            print(f"{shown:28}{number:7}{wall:10,.0f}{core:10,.0f}{correct:9.0%}  {goal or '-':<6} {shares(mix)}")
    with Grader(workers=1) as grader:
        hostile(grader)


if __name__ == "__main__":
    main()
