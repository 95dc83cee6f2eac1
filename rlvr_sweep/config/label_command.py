"""The command that makes a cell's label file: its choices, and what the cell changes in them that its labels rest on.

command(cell)     # "python -m rlvr_sweep label model=lab/olmo data=puzzle/lab algo=lab data.difficulty=5"

The one line that mends a missing or a foreign label file; a choice of one's own (--config-dir) is taken as it is.
"""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from rlvr_sweep.config.schema import Algo, Cell, Data, Grading, Model
from rlvr_sweep.config.tree import conf_dir, groups
from rlvr_sweep.data.provenance import AUTHORS, as_authors, default_path
from rlvr_sweep.strict import Strict

CHOICES: dict[str, type[Strict]] = {"model": Model, "data": Data, "algo": Algo}
# Fewer rows need no other labels, nor do rows that are repeated or filtered by their label.
UNLABELLED = ("labels", "label_filter", "empty_labels", "repeat", "overlap", "ids")
OF_MODEL = ("name", "hub", "revision", "path", "template", "prefix", "stop", "stop_tokens", "dtype", "context")
OF_DATA = tuple(key for key in Data.model_fields if key not in UNLABELLED)
OF_ALGO = ("max_prompt_tokens", "max_completion_tokens", "extraction")
FIELDS = {"model": OF_MODEL, "data": OF_DATA, "algo": OF_ALGO}
# What a cell need not say beside --authors; the authors' grader extracts by itself.
BY_AUTHORS = {"algo.extraction", *(line.partition("=")[0] for line in AUTHORS)}
PLAIN = re.compile(r"[A-Za-z/.~][\w./:~-]*")  # a text that Hydra's grammar takes, and gives back, without quotes


def command(cell: Cell, *, out: str | None = None) -> str:
    """The command that makes a cell's label file, at `out` or where `default_path` says."""
    words = ["python", "-m", "rlvr_sweep", "label"]
    words += [f"{group}={cell.choices[group]}" for group in CHOICES if group in cell.choices]
    for group in CHOICES:
        words += [f"{group}.{key}={_text(value)}" for key, value in _changes(cell, group).items()]
    if as_authors(cell):
        words.append("--authors")
    elif cell.grading.grader != Grading().grader:
        words.append(f"grading.grader={cell.grading.grader}")
    words += ["--empty", "keep"] * (cell.data.empty_labels == "keep" and not as_authors(cell))
    if out is not None and Path(out) != default_path(cell):
        words += ["--out", out]
    return shlex.join(words)


def _changes(cell: Cell, group: str) -> dict[str, Any]:
    """What the cell has otherwise than its choice, by key."""
    shipped = _shipped(group, cell.choices.get(group, ""))
    if shipped is None:
        return {}
    keys = [key for key in FIELDS[group] if not (as_authors(cell) and f"{group}.{key}" in BY_AUTHORS)]
    pairs = {key: (getattr(getattr(cell, group), key), getattr(shipped, key)) for key in keys}
    found = {key: value for key, (value, before) in pairs.items() if value != before}
    if group == "data" and "count" in found and not _more(*pairs["count"]):
        del found["count"]
    return found


def _more(count: int | None, before: int | None) -> bool:
    """Whether a cell takes more rows than its choice does; None is all."""
    return before is not None and (count is None or count > before)


@cache
def _shipped(group: str, choice: str) -> Any:
    """A choice of ours as its file has it, or None."""
    if choice not in groups(conf_dir())[group]:
        return None
    from omegaconf import OmegaConf  # here, not above: the worker reads rules.py, and needs none of it

    file: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{choice}.yaml"))
    return CHOICES[group].model_validate(file.get(group, file))  # a choice may bring those of other groups


def _text(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)
