"""Limits inside a worker, and what it may import."""

import json
import signal
import subprocess
import sys

from rlvr_sweep.grading.verify import Outcome
from rlvr_sweep.grading.worker import limited

PAIRS = b'["math", "x+1", "1+x"]\n["math", "50%", "x"]\n["authors", "8", "2^{3}"]\n'


def _forever(gold: str, answer: str) -> Outcome:
    while True:
        pass


def _swallowing(gold: str, answer: str) -> Outcome:
    """Loses the first alarm, as a bare `except` or a callback of the garbage collector does."""
    try:
        return _forever(gold, answer)
    except BaseException:
        return _forever(gold, answer)


def _hungry(gold: str, answer: str) -> Outcome:
    raise MemoryError


def test_the_soft_limit() -> None:
    assert limited(_forever, "", "", soft_limit_s=0.1, hard_limit_s=5.0) == (None, "timeout")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_the_alarm_repeats() -> None:
    assert limited(_swallowing, "", "", soft_limit_s=0.1, hard_limit_s=5.0) == (None, "timeout")


def test_memory() -> None:
    assert limited(_hungry, "", "", soft_limit_s=0.1, hard_limit_s=5.0) == (None, "memory")


def test_a_step_that_cannot_be_interrupted_ends_the_process() -> None:
    program = (
        "from rlvr_sweep.grading.worker import limited\n"
        "limited(lambda g, a: sum(range(10**11)), '', '', soft_limit_s=0.2, hard_limit_s=0.5)"  # one call into C
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGVTALRM


def test_a_worker_speaks_only_json_and_knows_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-v", "-m", "rlvr_sweep.grading.worker", "1.5", "3.0", str(4 << 30)],
        input=PAIRS, capture_output=True, check=True,
    )  # fmt: skip
    ready, first, second, third = [json.loads(line) for line in done.stdout.splitlines()]
    assert "ready" in ready and first == [True, "equal"] and second[0] is third[0] is False
    assert b"import 'sympy'" in done.stderr and b"import 'torch'" not in done.stderr


def test_less_memory_than_needed_is_refused_in_words() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlvr_sweep.grading.worker", "1.5", "3.0", str(1 << 20)],
        input=PAIRS,
        capture_output=True,
    )
    assert done.returncode != 0
