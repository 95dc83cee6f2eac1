"""The commit of the code that runs, which every record of it names.

    commit()        # 40 digits; None for an installed package, or an archive of which nobody said it

A checkout is asked itself. A job on a cluster runs a copy, which says in code.json where it is from; for an archive
(git archive, scp) the environment says it: RLVR_SWEEP_COMMIT=$(git rev-parse HEAD).
"""

import json
import os
import subprocess

from rlvr_sweep.config.tree import PACKAGE

VARIABLE = "RLVR_SWEEP_COMMIT"
CHECKOUT = PACKAGE.parent  # of a clone; site-packages when installed from a wheel


def is_checkout() -> bool:
    """Whether the package runs from a clone (or an editable install of one) and not from a wheel."""
    return (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "conf").is_dir()


def commit() -> str | None:
    """By git, by the copy's code.json, or by RLVR_SWEEP_COMMIT."""
    return git("rev-parse", "HEAD") or _of_copy() or os.environ.get(VARIABLE) or None


def git(*words: str) -> str | None:
    """What git says of the checkout; None where there is none, or no git."""
    own = {**os.environ, "GIT_CEILING_DIRECTORIES": str(CHECKOUT.parent)}  # no repository that happens to lie above
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=False, env=own
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _of_copy() -> str | None:
    try:
        return json.loads((CHECKOUT / "code.json").read_text())["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
