"""The configuration tree on disk: where it is, its groups and choices.

    groups(conf_dir())["model"]   # ("lab/llama", "lab/olmo", ...)

Standard library only.
"""

import functools
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def conf_dir() -> Path:
    """The shipped configuration tree: beside the package in a checkout, inside it when installed from a wheel."""
    checkout = PACKAGE.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else PACKAGE / "conf"


def launch_dir() -> Path:
    """What a cluster needs (templates): beside the package in a checkout, inside it when installed from a wheel."""
    checkout = PACKAGE.parent / "launch"
    return checkout if checkout.is_dir() else PACKAGE / "launch"


@functools.cache
def groups(conf: Path) -> dict[str, tuple[str, ...]]:
    """Group -> its choices, read from the tree: {"model": ("lab/qwen_math", ...), ...}."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(p for p in conf.iterdir() if p.is_dir() and p.name != "hydra"):
        files = sorted(folder.rglob("*.yaml"))
        found[folder.name] = tuple(str(f.relative_to(folder).with_suffix("")) for f in files)
    return found
