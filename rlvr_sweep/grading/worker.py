"""A grading worker: reads pairs from stdin, writes verdicts to stdout, one JSON array a line; started and killed by
`pool.Grader`.

    echo '["math", "x^2-1", "(x-1)(x+1)"]' | python -m rlvr_sweep.grading.worker 1.5 3.0 4294967296   # [true, "equal"]

It never imports torch, ignores Ctrl-C (its parent decides), and ends when its parent does, also when that one is
killed.
"""

import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType

from rlvr_sweep.grading.verify import Outcome

ALARM_AGAIN_S = (
    0.1  # the alarm repeats: one exception can be lost in a `finally`, a callback or a bare `except` of a library
)
LOOK_FOR_PARENT_S = 5.0


class SoftTimeoutError(BaseException):
    """The soft limit has passed. Not an Exception: libraries below catch those."""


def _alarm(signum: int, frame: FrameType | None) -> None:
    raise SoftTimeoutError


def limited(
    judge: Callable[[str, str], Outcome], gold: str, answer: str, *, soft_limit_s: float, hard_limit_s: float
) -> Outcome:
    """`judge` within its limits, in CPU seconds, so that a busy machine changes no verdict; the parent watches the
    clock on the wall.

    Beyond the soft limit: (None, "timeout"). Code that cannot be interrupted (one long step in C) is ended by the
    kernel at the hard limit.
    """
    try:
        try:
            signal.signal(signal.SIGPROF, _alarm)
            signal.setitimer(
                signal.ITIMER_VIRTUAL, hard_limit_s
            )  # SIGVTALRM has no handler: its default ends the process
            signal.setitimer(signal.ITIMER_PROF, soft_limit_s, ALARM_AGAIN_S)
            return judge(gold, answer)
        finally:
            _disarm()
    except SoftTimeoutError:
        return None, "timeout"
    except MemoryError:
        return None, "memory"
    finally:
        _disarm()  # once more: the alarm may have struck while it was being switched off


def _disarm() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main(soft_limit_s: float, hard_limit_s: float, memory_bytes: int) -> None:
    """Serve until stdin ends or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    out = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not write into the protocol
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # here, so that a failure is told through stderr with the process's exit
    from rlvr_sweep.grading import authors, symbolic
    from rlvr_sweep.grading.rules import MATH, find

    sys.setrecursionlimit(3000)

    judges = {MATH: symbolic.judge, authors.NAME: authors.judge}

    def judge_by(verifier: str) -> Callable[[str, str], Outcome]:
        by = judges.get(verifier) or find(verifier)
        return lambda gold, answer: by(gold=gold, answer=answer)

    def send(message: object) -> None:
        os.write(out, json.dumps(message).encode() + b"\n")

    send({"ready": os.getpid()})
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    buffer = b""
    while True:
        while b"\n" not in buffer:
            if not select.select([0], [], [], LOOK_FOR_PARENT_S)[0]:
                if os.getppid() != parent:
                    return
                continue
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            buffer += chunk
        line, _, buffer = buffer.partition(b"\n")
        verifier, gold, answer = json.loads(line)
        try:
            verdict: tuple[object, ...] = limited(
                judge_by(verifier), gold, answer, soft_limit_s=soft_limit_s, hard_limit_s=hard_limit_s
            )
        except Exception as error:  # one pair must not end the worker: the parent logs the third element
            verdict = None, "error", f"{type(error).__name__}: {error}"
        send(verdict)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
