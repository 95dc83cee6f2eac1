r"""The grader: verdicts for many pairs, worker processes where sympy is needed, and no pair that can hold up or end
the others.

    with Grader(workers=2) as grader:
        grader.verify([("5", "5.0"), ("x^2-1", "(x-1)(x+1)"), ("5", None)])   # True, True, False ("no_answer")

Repeated pairs come from a cache and plain ones from `verify.fast_judge`, both in this process; workers (separate
interpreters that know neither torch nor the caller's main module) start with the first pair that needs one.
"""

import contextlib
import json
import logging
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import rlvr_sweep
from rlvr_sweep.devices import cores_here
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading import authors, rules
from rlvr_sweep.grading.extraction import How
from rlvr_sweep.grading.notation import normalise
from rlvr_sweep.grading.verdict import Reason, Verdict
from rlvr_sweep.grading.verify import LONGEST, Outcome, fast_judge

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Grading

LOG = logging.getLogger(__name__)
START_LIMIT_S = 120.0  # importing math-verify takes 0.5 s, but from a cold network disk it can take a minute
KILL_S = 0.1  # of the hard limit, for noticing and killing
PAIRS_A_WORKER = 20_000  # then it is replaced: sympy's and the parser's caches only grow
DISTRIBUTIONS = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy")

QUICK = {rules.MATH: fast_judge, authors.NAME: authors.fast_judge}  # what needs no worker; else rules.quick

Pair = tuple[str, str | None]
Job = tuple[str, str, str | None]  # the verifier's name, and a pair


def versions() -> dict[str, str]:
    """The releases that verdicts depend on, by distribution name, to be recorded with each result. Imports none of
    them."""
    return {name: version(name) for name in DISTRIBUTIONS}


class _Worker:
    """One worker process, the pair it works on, and when to lose patience."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives; end() closes it)
        root = str(Path(rlvr_sweep.__file__).resolve().parent.parent)
        inherited = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": root + (os.pathsep + inherited if inherited else "")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlvr_sweep.grading.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            process_group=0,  # Ctrl-C goes to the parent alone, also while the worker is still importing
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.ready = False
        self.job: Job | None = None
        self.deadline = time.monotonic() + START_LIMIT_S
        self.left = PAIRS_A_WORKER
        self.buffer = b""

    def ask(self, job: Job, limit_s: float) -> bool:
        """Hand a pair over; False where the worker has died in the meantime."""
        verifier, gold, answer = job[0], job[1], job[2] or ""
        pair = [normalise(gold), normalise(answer)] if verifier == rules.MATH else [gold, answer]
        try:
            self.stdin.write(json.dumps([verifier, *pair]).encode() + b"\n")
            self.stdin.flush()
        except BrokenPipeError:
            return False
        self.job, self.deadline, self.left = job, time.monotonic() + limit_s, self.left - 1
        return True

    def messages(self) -> list[object] | None:
        """What has arrived; None where the worker's output has ended."""
        chunk = os.read(self.stdout.fileno(), 1 << 16)
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines] if chunk else None

    def complaint(self) -> str:
        """The last line the worker wrote before it was ready."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with status {self.process.poll()}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # a pair was still in the buffer
            self.stdin.close()
        self.stdout.close()
        self.log.close()


def workers_of(processes: int) -> int:
    """Workers for each of so many processes on this machine, where nobody says how many."""
    return max(1, min(8, cores_here() // 2 // processes))


class Grader:
    """Verdicts with hard limits. A context manager; usable from any thread, one batch at a time.

    `soft_limit_s`: CPU seconds of a pair before its worker gives it up ("timeout"); `hard_limit_s`: wall seconds
    before the worker is killed ("killed") and replaced; `memory_bytes`: address space of a worker; `cache_size`:
    verdicts kept. Nothing here makes a batch fail: a pair that is lost is None with its reason. `verify` raises
    UserError only where no worker can start.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        soft_limit_s: float = 1.5,
        hard_limit_s: float = 3.0,
        memory_bytes: int = 4 << 30,
        cache_size: int = 200_000,
    ) -> None:
        self.workers = workers if workers is not None else workers_of(1)
        if self.workers < 1 or not KILL_S < soft_limit_s <= hard_limit_s or cache_size < 0:
            raise UserError(
                f"grader: workers={workers}, soft_limit_s={soft_limit_s}, hard_limit_s={hard_limit_s}, "
                f"cache_size={cache_size}: "
                f"write workers of at least 1, {KILL_S} < soft_limit_s <= hard_limit_s, and a cache_size of at least 0"
            )
        self.hard_limit_s = hard_limit_s
        self.cache_size = cache_size
        self._arguments = (str(soft_limit_s), str(hard_limit_s), str(memory_bytes))
        self._cache: OrderedDict[Job, Verdict] = OrderedDict()
        self._pool: list[_Worker] = []
        self._lock = threading.RLock()
        self._owner = os.getpid()

    @classmethod
    def within(cls, limits: "Grading", *, processes: int = 1) -> Self:
        """A grader with the limits of a cell (`cell.grading`), one of those that so many processes here have each: more
        workers than cores, and honest pairs would be killed."""
        return cls(
            limits.workers or workers_of(processes),
            soft_limit_s=limits.soft_limit_s,
            hard_limit_s=limits.hard_limit_s,
            memory_bytes=limits.memory_mb << 20,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start all workers now, without waiting for them, so that the first hard pair does not."""
        with self._lock:
            self._disown()
            while len(self._pool) < self.workers:
                self._pool.append(_Worker(self._arguments))

    def close(self) -> None:
        """End the workers; the grader can be used again and then starts new ones."""
        with self._lock:
            self._disown()
            while self._pool:
                self._pool.pop().end()

    def worker_pids(self) -> list[int]:
        """Process ids of the workers alive now."""
        return [worker.process.pid for worker in self._pool]

    def named(self, verifier: str, *, by: str = "math_verify") -> "Verifier":
        """This grader with one verifier of `rules.NAMES`, as one row source wants it; `by="authors"`: with that second
        math grader in math's place (Grading.grader). UserError: an unknown name."""
        return Verifier(self, authors.NAME if (verifier, by) == (rules.MATH, authors.NAME) else rules.known(verifier))

    def verify(self, pairs: Sequence[Pair], *, verifier: str = rules.MATH) -> list[Verdict]:
        """The verdict of each (gold, answer), in order. Equal pairs are judged once; an answer of None is (False,
        "no_answer")."""
        with self._lock:
            jobs: list[Job] = [(verifier, *pair) for pair in pairs]
            known: dict[Job, Verdict] = {}
            hard: list[Job] = []
            quick = QUICK.get(verifier, rules.quick)
            for job in dict.fromkeys(jobs):
                cached = self._cache.get(job)
                if cached is None and (outcome := quick(job[1], job[2])) is not None:
                    cached = self._remember(job, outcome)
                if cached is None:
                    hard.append(job)
                else:
                    known[job] = cached
            for job, outcome in self._judge(hard).items():
                known[job] = self._remember(job, outcome)
            return [known[job] for job in jobs]

    def equivalence_classes(self, answers: Sequence[str | None], *, verifier: str = rules.MATH) -> list[int | None]:
        """The class of each answer, numbered as first seen, None for no answer or an empty one: the clusters of a
        majority vote.

        An answer joins the first class whose first member, taken as gold, it equals (equality by policy is not quite
        transitive: 50% equals both 50 and 0.5). An answer nothing can parse is alone with its exact copies.
        """
        heads: list[str] = []
        classes: dict[str, int | None] = {}
        for answer in answers:
            if answer is None or answer in classes:
                continue
            if not answer.strip():
                classes[answer] = None
                continue
            found = None
            if len(answer) <= LONGEST:
                verdicts = self.verify([(head, answer) for head in heads], verifier=verifier)
                found = next((i for i, verdict in enumerate(verdicts) if verdict.correct), None)
            if found is None:
                found = len(heads)
                heads.append(answer)
            classes[answer] = found
        return [None if answer is None else classes[answer] for answer in answers]

    def gold_faults(self, golds: Iterable[str], *, verifier: str = rules.MATH) -> list[tuple[int, str, Reason]]:
        """(index, gold, reason) of the golds against which no answer could be judged, to be reported before
        training."""
        listed = list(golds)
        verdicts = self.verify([(gold, "0") for gold in listed], verifier=verifier)
        return [
            (i, gold, verdict.reason)
            for i, (gold, verdict) in enumerate(zip(listed, verdicts, strict=True))
            if verdict.correct is None
        ]

    def _disown(self) -> None:
        """In a fork of the process that started the workers, forget them: they are not ours to use or to end."""
        if self._owner != os.getpid():
            self._pool, self._owner = [], os.getpid()

    def _remember(self, job: Job, outcome: Outcome) -> Verdict:
        verdict = Verdict(*outcome)
        if len(job[1]) + len(job[2] or "") <= 2 * LONGEST:  # a pair of pages would fill the cache with text
            self._cache[job] = verdict
        while len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return verdict

    def _judge(self, jobs: list[Job]) -> dict[Job, Outcome]:
        """One pair in flight a worker, so a hostile one holds back nothing but its own worker."""
        self._disown()
        waiting = deque(jobs)
        outcomes: dict[Job, Outcome] = {}
        try:
            while len(outcomes) < len(jobs):
                self._hand_out(waiting)
                self._hear(outcomes)
        except BaseException:  # Ctrl-C: what is still under way must not answer into the next batch
            for worker in [worker for worker in self._pool if worker.job is not None]:
                self._drop(worker)
            raise
        return outcomes

    def _hand_out(self, waiting: deque[Job]) -> None:
        """Start the workers that are needed and give each idle one a pair."""
        busy = sum(worker.job is not None for worker in self._pool)
        while len(self._pool) < min(self.workers, busy + len(waiting)):
            self._pool.append(_Worker(self._arguments))
        for worker in [worker for worker in self._pool if worker.ready and worker.job is None]:
            if not waiting:
                return
            if worker.left > 0 and worker.ask(waiting[0], self.hard_limit_s - KILL_S):
                waiting.popleft()
            else:
                self._drop(worker)  # worn out, or it died while idle: no pair's fault

    def _hear(self, outcomes: dict[Job, Outcome]) -> None:
        """Wait for the next word of any worker, or for the first deadline; take verdicts in and replace the dead and
        the late."""
        active = [worker for worker in self._pool if worker.job is not None or not worker.ready]
        if not active:
            return
        with selectors.DefaultSelector() as selector:
            for worker in active:
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            patience = min(worker.deadline for worker in active) - time.monotonic()
            spoke = [cast("_Worker", key.data) for key, _ in selector.select(max(0.0, patience))]
        for worker in active:
            messages = worker.messages() if worker in spoke else []
            late = worker not in spoke and time.monotonic() > worker.deadline
            for message in messages or []:
                if not worker.ready:
                    worker.ready = True
                elif worker.job is not None:
                    correct, reason, *detail = cast("list[object]", message)
                    if detail:
                        LOG.warning("grading %r against %r (%s): %s", worker.job[2], *worker.job[1::-1], detail[0])
                    outcomes[worker.job] = cast("Outcome", (correct, reason))
                    worker.job = None
            if messages is None or late:
                if not worker.ready:
                    complaint = worker.complaint()
                    self.close()
                    raise UserError(
                        f"grader: no worker can start ({complaint}): `pip install math-verify` mends a missing package"
                    )
                if worker.job is not None:
                    outcomes[worker.job] = None, "killed"
                self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.end()


class Verifier:
    """A grader bound to one named verifier; it shares the grader's workers and cache."""

    def __init__(self, grader: Grader, name: str) -> None:
        self.grader, self.name = grader, name

    def verify(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """As `Grader.verify`."""
        return self.grader.verify(pairs, verifier=self.name)

    def equivalence_classes(self, answers: Sequence[str | None]) -> list[int | None]:
        """As `Grader.equivalence_classes`."""
        return self.grader.equivalence_classes(answers, verifier=self.name)

    def gold_faults(self, golds: Iterable[str]) -> list[tuple[int, str, Reason]]:
        """As `Grader.gold_faults`."""
        return self.grader.gold_faults(golds, verifier=self.name)

    def extract(self, text: str, *, how: How, think_open: bool = False) -> str | None:
        """The answer claimed in a text, by the verifier's own rule. The authors' looks for it in its own order,
        whatever `how` is; "" says that there is none."""
        if self.name == authors.NAME:
            return authors.extract(text)
        return rules.extract(text, verifier=self.name, how=how, think_open=think_open)
