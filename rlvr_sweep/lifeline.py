"""A child that does not outlive its parent (Linux only; elsewhere nothing happens).

subprocess.Popen(..., preexec_fn=dies_with_parent(signal.SIGTERM))
"""

import ctypes
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def dies_with_parent(number: int) -> Callable[[], None] | None:
    """To be called in the child: the system then sends it signal `number` when whoever started it ends."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, number)
