"""The pool: order, limits, lost workers, and the way it ends. About twelve worker starts, of 0.6 s each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr_sweep.config.schema import Grading
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading import pool
from rlvr_sweep.grading.pool import Grader, versions

SLOW = r"\begin{vmatrix}" + r"\\".join("&".join(f"a_{{{i}{j}}}" for j in range(6)) for i in range(6)) + r"\end{vmatrix}"


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=2) as shared:
        yield shared


@pytest.fixture(scope="module")
def single() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


def test_order_and_duplicates(grader: Grader) -> None:
    pairs = [("x+1", "1+x"), ("5", "5.0"), ("x+1", "x+2"), ("5", None), ("x+1", "1+x"), (r"\frac{1}{", "5")]
    expected = [(True, "equal"), (True, "equal"), (False, "not_equal"), (False, "no_answer"), (True, "equal")]
    assert grader.verify(pairs) == [*expected, (None, "gold_unparseable")]


def test_a_known_pair_needs_no_worker() -> None:
    with Grader(workers=1) as grader:
        pair = ("x+1", "1+x")
        assert grader.verify([pair])[0].correct
        assert len(grader.worker_pids()) == 1
        grader.close()
        assert grader.verify([pair] * 3 + [("5", "7")])[2].correct
        assert grader.worker_pids() == []


def test_the_cache_forgets_the_oldest() -> None:
    with Grader(workers=1, cache_size=2) as grader:
        grader.verify([("x+1", "1+x")])
        grader.verify([("5", "6"), ("5", "7")])
        grader.close()
        assert grader.verify([("x+1", "1+x")])[0].correct
        assert len(grader.worker_pids()) == 1


def test_a_hostile_pair_delays_nobody(grader: Grader) -> None:
    honest = [(f"x+{i}", f"{i}+x") for i in range(20)]
    start = time.monotonic()
    verdicts = grader.verify([*honest[:10], ("x^2+1", SLOW), *honest[10:]])
    assert time.monotonic() - start < 20  # 3 at most for the hostile one, the rest beside it
    assert verdicts[10].correct is None and verdicts[10].reason in ("timeout", "killed")
    assert all(verdict.correct for i, verdict in enumerate(verdicts) if i != 10)


def test_a_silent_worker_is_killed_and_replaced() -> None:
    with Grader(workers=1, soft_limit_s=1.0, hard_limit_s=5.0) as grader:
        grader.verify([("x+1", "1+x")])
        (pid,) = grader.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()
        verdicts = grader.verify([("x+2", "2+x"), ("x+3", "3+x")])
        assert time.monotonic() - start < 60  # about 6
        assert verdicts[0] == (None, "killed") and verdicts[1] == (True, "equal")
        assert grader.worker_pids() != [pid]


def test_a_worker_that_died_idle_costs_no_verdict(single: Grader) -> None:
    single.verify([("a+1", "1+a")])
    [pid] = single.worker_pids()
    os.kill(pid, signal.SIGKILL)
    assert _gone(pid, 60.0)
    assert single.verify([("a+2", "2+a")]) == [(True, "equal")]


def test_equivalence_classes(grader: Grader) -> None:
    answers = ["5", None, "5.0", "x+1", "", "1+x", "6", r"\frac{10}{2}", "west", r"\text{West}", "z" * 600, "z" * 600]
    assert grader.equivalence_classes(answers) == [0, None, 0, 1, None, 1, 2, 0, 3, 3, 4, 4]
    assert grader.equivalence_classes([]) == []


def test_gold_faults(grader: Grader) -> None:
    golds = ["5", r"\frac{1}{", "x^2", "", r"\text{east}", "9^{9^9}"]
    assert grader.gold_faults(golds) == [
        (1, r"\frac{1}{", "gold_unparseable"),
        (3, "", "gold_unparseable"),
        (5, "9^{9^9}", "gold_unparseable"),
    ]


def test_versions_name_what_verdicts_depend_on() -> None:
    assert set(versions()) == {"math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy"}
    assert all(release[0].isdigit() for release in versions().values())


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"soft_limit_s": 4.0}, {"soft_limit_s": 0.0}, {"cache_size": -1}])
def test_limits_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="write workers of at least 1"):
        Grader(**wrong)  # pyright: ignore[reportArgumentType]


def test_no_worker_can_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setattr("rlvr_sweep.__file__", str(tmp_path / "rlvr_sweep" / "__init__.py"))
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    with Grader(workers=2) as grader, pytest.raises(UserError, match=r"broken on purpose.*pip install math-verify"):
        grader.verify([("x+1", "1+x")])


HOLDER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore"
from rlvr_sweep.grading.pool import Grader
grader = Grader(workers=1)
grader.verify([("x+1", "1+x")])
print(grader.worker_pids()[0], flush=True)
{then}
"""


def _holder(then: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(then=then)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def _gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_workers_end_with_a_killed_parent() -> None:
    process, worker = _holder("time.sleep(60)")
    process.kill()
    process.wait()
    assert _gone(worker, 60.0)


def test_a_busy_worker_ends_with_a_killed_parent() -> None:
    process, worker = _holder(f"grader.verify([('x^2+1', {SLOW!r})])")
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert _gone(worker, 60.0)


def test_ctrl_c_shows_only_the_parent_s_traceback() -> None:
    process, worker = _holder("time.sleep(60)")
    os.kill(worker, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert stderr.count("Traceback") == 1 and "grading/worker" not in stderr
    assert _gone(worker, 60.0)


def test_a_fork_leaves_the_workers_to_its_parent(single: Grader) -> None:
    single.verify([("b+1", "1+b")])
    workers = single.worker_pids()
    child = os.fork()
    if child == 0:
        single.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not _gone(workers[0], 0.3)
    assert single.verify([("b+2", "2+b")]) == [(True, "equal")] and single.worker_pids() == workers


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "cores_here", lambda: 16)
    limits = Grading()
    assert [Grader.within(limits, processes=n).workers for n in (1, 2, 4, 64)] == [8, 4, 2, 1]
    assert Grader.within(limits.model_copy(update={"workers": 3}), processes=4).workers == 3  # said is said


def test_start_brings_the_workers_up_before_they_are_needed() -> None:
    with Grader(workers=2) as grader:
        grader.start()
        assert len(grader.worker_pids()) == 2
        assert grader.verify([("x+1", "1+x")]) == [(True, "equal")]


def test_an_interrupted_batch_does_not_answer_into_the_next(single: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    single.verify([("c+1", "1+c")])

    def interrupted(outcomes: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(single, "_hear", interrupted)
        with pytest.raises(KeyboardInterrupt):
            single.verify([("c+2", "c+3")])
    assert single.verify([("c+4", "4+c"), ("c+2", "c+3")]) == [(True, "equal"), (False, "not_equal")]
