"""From override lines to judged cells: Hydra composes, pydantic judges, and all faults of all cells come in one list.

    grid = compose(["model=lab/llama", "seed=0,1"], multirun=True)
    grid.cells, grid.faults, grid.launcher

Nothing here starts anything or imports torch.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from pydantic import ValidationError

from rlvr_sweep.config import content, rules
from rlvr_sweep.config.batch import Batch
from rlvr_sweep.config.faults import Faults, shortened
from rlvr_sweep.config.grid import Axis, Draft, Span, read_spans, shown
from rlvr_sweep.config.identity import digest, identity, slug, without_seed
from rlvr_sweep.config.keys import known_keys
from rlvr_sweep.config.layers import ERRORS, Files, reason
from rlvr_sweep.config.overrides import judge
from rlvr_sweep.config.schema import Cell, Sweep
from rlvr_sweep.config.settled import settled
from rlvr_sweep.config.tree import conf_dir
from rlvr_sweep.errors import UserError
from rlvr_sweep.nearest import nearest


@dataclass(frozen=True)
class Composed:
    """A judged cell, the override lines it came from, and its ids."""

    cell: Cell
    overrides: tuple[str, ...]
    hashes: dict[str, str]
    batch: Batch

    @cached_property
    def identity(self) -> dict[str, Any]:
        return identity(self.cell, self.hashes)

    @cached_property
    def cell_id(self) -> str:
        return digest(self.identity)

    @cached_property
    def arm_id(self) -> str:
        return digest(without_seed(self.identity))

    @cached_property
    def slug(self) -> str:
        return slug(self.cell)


@dataclass(frozen=True)
class Grid:
    """What a command comes to. Where there are faults there are no cells, and nothing may start."""

    cells: list[Composed] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    launcher: str | None = None

    def or_refuse(self) -> "Grid":
        """The grid, raising UserError with all its faults, one a line."""
        if self.faults:
            raise UserError("\n".join(self.faults))
        return self


@cache
def _nearest_key(key: str) -> str:
    return nearest(key, known_keys())


def _message(error: dict) -> str:
    """One line for one pydantic error."""
    key = ".".join(str(part) for part in error["loc"]) or "cell"
    if key in ("local", "debug", "experiment"):  # groups that are no part of a cell
        return f"{key}: its file sets keys of a cell only under the first line `# @package _global_`; write that line"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_nearest_key(key)}"
    if error["type"] == "missing":
        return f"{key}: missing; write {key}=VALUE"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("value_error", "assertion_error"):
        return f"{key}: {text}"
    if error["type"] == "list_type":
        text += f"; write \"{key}=['{error['input']}']\""
    return f"{key}={error['input']!r}: {text[0].lower()}{text[1:]}"


class CellJudge:
    """Judges cells one after the other. What comes later is looked at only in cells that passed what comes before, so
    that each kind of fault is counted among its own cells."""

    def __init__(self, *, without: tuple[str, ...]) -> None:
        self._values, self._rules, self._files = (Faults(without=without) for _ in range(3))
        self._read = content.Reader()

    def cell(self, draft: Draft) -> Composed | None:
        """The judged cell, or None if it has faults."""
        cell, found = (None, [draft.fault]) if draft.fault else _validated(draft.config)
        self._values.add(draft.varying, found)
        if cell is None or self._rules.add(draft.varying, rules.faults(cell)):
            return None
        facts = content.facts(cell, self._read)
        if self._files.add(draft.varying, [line for fault in facts.faults for line in fault.splitlines()]):
            return None
        cell = cell.model_copy(update={"deviations": rules.deviations(cell) + facts.deviations})
        return Composed(cell=cell, overrides=draft.lines, hashes=facts.hashes, batch=rules.arm(cell))

    def faults(self) -> list[str]:
        """The faults of all cells so far, one line each."""
        return [line for kind in (self._values, self._rules, self._files) for line in kind.lines()]


def _validated(config: dict[str, Any]) -> tuple[Cell | None, list[str]]:
    try:
        return Cell.model_validate(settled(config)), []
    except ValidationError as error:
        return None, [_message(dict(e)) for e in error.errors(include_url=False)]


def compose(lines: list[str], *, multirun: bool, config_dir: Path | None = None, limit: bool = True) -> Grid:
    """All cells of a command, or all their faults.

    `lines` are Hydra override lines; with `multirun`, sweeps in them span a grid, as do those of an experiment
    (hydra.sweeper.params). `config_dir` adds the user's own configuration tree. With `limit`, a grid of more than
    sweep.max_cells cells is refused before it is made.
    """
    conf = conf_dir()
    judged = judge(lines, conf, config_dir)
    faults = list(judged.faults)
    sweeps = [override for override in judged.good if override.is_sweep_override()]
    if sweeps and not multirun:
        faults.append(f"{' '.join(map(shown, sweeps))}: several values make several cells; add -m")
        judged.good = [Axis(override).first for override in judged.good]
    if "experiment" in judged.spoiled:  # all else is meant on top of it
        return Grid(faults=shortened(faults), launcher=judged.launcher)
    # Other choices than the user's stand in for those that are not known: what is wrong with them would mislead.
    judges = CellJudge(without=tuple(f"{group}{mark}" for group in judged.spoiled for mark in ".:="))
    with initialize_config_dir(str(conf), version_base="1.3"):
        files = Files(conf, config_dir)
        spans, found = read_spans(files, judged.good, lambda more: judge(more, conf, config_dir), multirun=multirun)
        too_many = _too_many(spans) if limit else []
        drafts = () if too_many else (draft for span in spans for draft in span.drafts())
        cells = [cell for draft in drafts if (cell := judges.cell(draft))]
    faults += [*found, *too_many, *judges.faults(), *_doubles(cells)]
    return Grid(cells=[] if faults else cells, faults=shortened(faults), launcher=judged.launcher)


def _too_many(spans: list[Span]) -> list[str]:
    """The fault of a grid that is larger than its configuration allows; nothing but its first cell is composed."""
    count = sum(span.count for span in spans)
    if count <= 1:
        return []
    faults, most = [], Sweep().max_cells
    try:
        most = Sweep.model_validate(spans[0].first().get("sweep", {})).max_cells
    except ValidationError as error:
        faults = [_message({**e, "loc": ("sweep", *e["loc"])}) for e in error.errors(include_url=False)]
    except ERRORS as error:
        faults = [reason(error)]
    if count <= most:  # then every cell is made, and says its faults itself
        return []
    return [
        *faults,
        f"{count:,} cells are more than sweep.max_cells={most}; write sweep.max_cells={count} if you mean it",
    ]


def _doubles(cells: list[Composed]) -> list[str]:
    """Cells of a grid that are one and the same: an axis changes nothing that counts."""
    first: dict[str, Composed] = {}
    found = []
    for cell in cells:
        other = first.setdefault(cell.cell_id, cell)
        if other is not cell:
            ours, theirs = (" ".join(c.overrides) for c in (cell, other))
            found.append(f"{ours}: is the same cell as {theirs}; leave one of them out")
    return found


def compose_or_refuse(lines: list[str], *, multirun: bool, config_dir: Path | None = None) -> list[Composed]:
    """The cells of `compose`, raising UserError with all faults, one a line."""
    return compose(lines, multirun=multirun, config_dir=config_dir).or_refuse().cells
