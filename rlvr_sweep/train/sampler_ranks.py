"""The sampling process (sampler.py) several times, a GPU each, over one model's stores: compute.ranks=4.

    spread(wanted)          # exit code; 64:PATH becomes 64@0/4/12:PATH, 64@1/4/12:PATH, ...

Each has every fourth of what was missing at the beginning, and adds parts of its own. One that dies loses its batch and
stops no other; the same command shares out what is left. The first has the terminal, the others a log.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from rlvr_sweep import devices
from rlvr_sweep.config.schema import Compute
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.store import Share, Store
from rlvr_sweep.lifeline import dies_with_parent
from rlvr_sweep.protocol import FAILED, USER_ERROR

INTERRUPTED = 130
GOES_ON = "the same command samples what it did not"
Wanted = Sequence[tuple[Store, int]]  # a store, and how many samples of each of its prompts


def read_word(word: str) -> tuple[Store, int]:
    """64:PATH, or 64@INDEX/OF/SINCE:PATH for a share."""
    count, _, path = word.partition(":")
    samples, _, share = count.partition("@")
    return Store(Path(path), Share(*map(int, share.split("/"))) if share else None), int(samples)


def spread(wanted: Wanted) -> int:
    """Start them, wait for all, and say which failed. UserError where there are too few GPUs."""
    compute = wanted[0][0].job.cell.compute
    places = _places(compute)
    code = 0
    with ExitStack() as locks:
        held = []
        for store, samples in wanted:
            try:
                locks.enter_context(store.lock())
                held.append((store, samples, store.next_part()))
            except UserError as error:
                print(f"rlvr_sweep: {store.path.name}: {error}", file=sys.stderr)
                code = USER_ERROR
        if held:
            code = max(code, _run(held, places))
    return code


def _places(compute: Compute) -> list[dict[str, str]]:
    """What each process adds to the environment."""
    count, gpus = compute.ranks // compute.nodes, devices.gpus_here()
    if compute.device == "cpu" or (compute.device == "auto" and not gpus):
        return [{}] * count
    if count > len(gpus):
        ranks = len(gpus) * compute.nodes
        plain = "compute=gpu " * (ranks == 1)  # ZeRO has nothing to shard on one
        raise UserError(
            f"compute.ranks={compute.ranks}: samples with {count} processes, a GPU each, and there are {len(gpus)}; "
            f"write {f'{plain}compute.ranks={ranks}' if ranks else 'compute=cpu compute.backend=hf'}"
        )
    return [devices.only((gpu,)) for gpu in gpus[:count]]


def _run(held: list[tuple[Store, int, int]], places: list[dict[str, str]]) -> int:
    count, folder = len(places), held[0][0].path
    logs = [folder / f"process-{number}.log" for number in range(2, count + 1)]
    running: list[subprocess.Popen] = []
    try:
        for index, place in enumerate(places):
            words = [f"{samples}@{index}/{count}/{since}:{store.path}" for store, samples, since in held]
            with logs[index - 1].open("wb") if index else nullcontext() as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "rlvr_sweep.train.sampler", *words],
                    env=os.environ | place,
                    stdout=log,
                    stderr=log,
                    preexec_fn=dies_with_parent(signal.SIGTERM),
                )
            running.append(process)
        codes = [process.wait() for process in running]
    except KeyboardInterrupt:  # they have been told too, and end with what they have
        for process in running:
            process.wait()
        return INTERRUPTED
    finally:
        for process in running:  # after a second Ctrl-C, or where one could not be started
            process.kill()
    for number, code in enumerate(codes, 1):
        log = logs[number - 2] if number > 1 else None
        if code < 0 or (log and code not in (0, codes[0])):  # what all met the first one has said
            more = f"; its log: {log}" if log else ""
            print(f"rlvr_sweep: process {number} of {count} {_end(code, log)}; {GOES_ON}{more}", file=sys.stderr)
        elif log:
            log.unlink()
    return max(FAILED if code < 0 else code for code in codes)


def _end(code: int, log: Path | None) -> str:
    if code < 0 or log is None:
        why = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{why}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"failed: {lines[-1].removeprefix('rlvr_sweep: ') if lines else 'no message'}"
