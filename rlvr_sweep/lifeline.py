"""Who outlives whom, as the kernel keeps it (Linux only; elsewhere nothing happens).

subprocess.Popen(..., preexec_fn=dies_with_parent(signal.SIGTERM))
with adopting_orphans(): ...      # a grandchild whose parent ends meanwhile becomes a child of this process
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36


def dies_with_parent(number: int) -> Callable[[], None] | None:
    """To be called in the child: the system then sends it signal `number` when whoever started it ends."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, number)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Descendants that lose their parent within the block become children of this process, not of init."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def call_process(name: str) -> None:
    """What `ps -o comm` and `top` call this process: the first 15 bytes of `name`."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())
