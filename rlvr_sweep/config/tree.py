"""The configuration tree on disk: where it is, its groups and choices, and the nearest name to a typo.

    groups(conf_dir())["model"]   # ("lab/llama", "lab/olmo", ...)

Standard library only.
"""

import difflib
import functools
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def conf_dir() -> Path:
    """The shipped configuration tree: beside the package in a checkout, inside it when installed from a wheel."""
    checkout = PACKAGE.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else PACKAGE / "conf"


@functools.cache
def groups(conf: Path) -> dict[str, tuple[str, ...]]:
    """Group -> its choices, read from the tree: {"model": ("lab/qwen_math", ...), ...}."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(p for p in conf.iterdir() if p.is_dir() and p.name != "hydra"):
        files = sorted(folder.rglob("*.yaml"))
        found[folder.name] = tuple(str(f.relative_to(folder).with_suffix("")) for f in files)
    return found


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> str:
    """The nearest known names, as the end of a message: "did you mean a or b?", or the whole list if it is short."""
    options = sorted(set(known))
    close = difflib.get_close_matches(word, options, n=count, cutoff=0.6)
    if not close and "." in word:  # the right leaf under the wrong parent
        leaf = word.rsplit(".", 1)[-1]
        close = [k for k in options if k.rsplit(".", 1)[-1] == leaf][:count]
    if not close:
        by_leaf = {k.rsplit(".", 1)[-1]: k for k in options}
        close = [by_leaf[leaf] for leaf in difflib.get_close_matches(word, list(by_leaf), n=count, cutoff=0.6)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"write one of {', '.join(options)}" if len(options) <= 20 else "see python -m rlvr_sweep --help"
