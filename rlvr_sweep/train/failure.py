"""What a cell says when it fails, in one line, and what it does first when the reason is a full disk.

except Exception as error: line = reason(error, folder)
"""

import errno
import shutil
from pathlib import Path

from rlvr_sweep.causes import cause

FULL_BYTES = 1 << 20


def reason(error: BaseException, folder: Path) -> str:
    """The error's kind and first line, with its usual cause where one is known; a full disk by its name (torch says
    "unexpected pos 64 vs 0")."""
    text = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
    if _is_full(error, folder):
        return f"the disk of {folder} is full; make room, and it goes on from its last checkpoint ({text})"
    usual = cause(f"{type(error).__name__}: {error}")
    return f"{text}; {usual}" if usual else text


def _is_full(error: BaseException, folder: Path) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return shutil.disk_usage(folder).free < FULL_BYTES
