"""The policy, case by case, and what the fast path may import."""

import subprocess
import sys
import time

import pytest

from rlvr_sweep.grading.verify import fast_judge, judge
from tests.grading import known_verdicts
from tests.grading.known_verdicts import Case


@pytest.mark.parametrize("case", known_verdicts.ALL, ids=lambda case: f"{case[0]} | {case[1]}")
def test_known_verdict(case: Case) -> None:
    gold, answer, correct, note = case
    assert judge(gold=gold, answer=answer)[0] is correct, note


@pytest.mark.parametrize("case", known_verdicts.REASONS, ids=lambda case: f"{case[0][:9]} | {str(case[1])[:9]}")
def test_reason(case: Case) -> None:
    gold, answer, correct, reason = case
    assert judge(gold=gold, answer=answer) == (correct, reason)


def test_every_gold_equals_itself_and_its_reasons_agree() -> None:
    for gold, answer, _, note in known_verdicts.ALL:
        assert judge(gold=gold, answer=gold) == (True, "equal"), note
        correct, reason = judge(gold=gold, answer=answer)
        assert (correct is True) == (reason == "equal")


def test_numbers_need_no_sympy() -> None:
    program = (
        "import sys; from rlvr_sweep.grading.pool import Grader, versions; "
        "from rlvr_sweep.grading.extraction import extract\n"
        "with Grader() as grader:\n"
        "    pairs = [('5', extract(r'\\boxed{5.0}', how='boxed')), (r'2\\sqrt{2}', r'\\sqrt{8}')]\n"
        "    assert [v.correct for v in grader.verify([*pairs, ('(1,2)', '(1,3)')])] == [True, True, False]\n"
        "    assert not grader.worker_pids()\n"
        "versions()\n"
        "print(sorted({'sympy', 'math_verify', 'torch', 'numpy', 'antlr4'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "answer",
    [
        "2100!" * 20, "(((9^{99})^{99})^{99})", r"\exp(9999)" * 10, r"\sqrt{2099!}" * 6 + "1", "1e5999+" * 20 + "1",
        "{" * 510, r"\frac" * 100, "1," * 255 + "1", r"1\pm2," * 80, "|" * 200, "1:" * 250, "5" * 512, r"\text{" * 80,
        " " * 511 + "x", "5" + " " * 500 + "x", "(1,2)," * 80, r"\begin{pmatrix}" * 30, "e^" * 200 + "e",
    ],
    ids=lambda answer: answer[:12],
)  # fmt: skip
def test_the_fast_path_is_bounded(answer: str) -> None:
    start = time.process_time()
    fast_judge("1,2,3,4,5,6,7,8,9,10,11,12", answer)
    fast_judge("17", answer)
    assert time.process_time() - start < 0.5  # measured: 0.03 s at most
