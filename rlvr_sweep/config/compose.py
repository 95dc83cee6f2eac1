"""From override lines to judged cells: Hydra composes, pydantic judges, and all faults of all cells come in one list.

    composed, faults = compose(["model=lab/llama", "seed=0,1"], multirun=True)

Nothing here starts anything or imports torch.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from rlvr_sweep.config import content, rules
from rlvr_sweep.config.batch import Batch
from rlvr_sweep.config.identity import arm_id, cell_id, identity, slug
from rlvr_sweep.config.keys import known_keys
from rlvr_sweep.config.overrides import judge
from rlvr_sweep.config.schema import Cell
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

    @property
    def cell_id(self) -> str:
        return cell_id(self.cell, self.hashes)

    @property
    def arm_id(self) -> str:
        return arm_id(self.cell, self.hashes)

    @property
    def slug(self) -> str:
        return slug(self.cell)

    @property
    def identity(self) -> dict:
        return identity(self.cell, self.hashes)


def _grid(overrides: list[Override]) -> list[list[str]]:
    """The lines of every cell: the product of all sweeps, the last one fastest."""
    axes = []
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([override.input_line or ""])
    return [list(lines) for lines in itertools.product(*axes)]


def _message(error: dict) -> str:
    """One line for one pydantic error."""
    key = ".".join(str(part) for part in error["loc"]) or "cell"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(key, known_keys())}"
    if error["type"] == "missing":
        return f"{key}: missing; write {key}=VALUE"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("value_error", "assertion_error"):
        return f"{key}: {text}"
    return f"{key}={error['input']!r}: {text[0].lower()}{text[1:]}"


def _judge_values(config: dict) -> tuple[Cell | None, list[str]]:
    try:
        return Cell.model_validate(config), []
    except ValidationError as error:
        return None, [_message(dict(e)) for e in error.errors(include_url=False)]


def _plain(lines: list[str]) -> dict:
    """Compose one cell's plain dictionary, with the group choices it was made of. Needs initialized Hydra."""
    config = hydra_compose(config_name="config", overrides=lines, return_hydra_config=True)
    choices = {
        group: str(choice)
        for group, choice in config.hydra.runtime.choices.items()
        if not group.startswith(("hydra", "local")) and choice is not None
    }
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()} | {"choices": choices}


def _judge_cell(lines: list[str]) -> tuple[Composed | None, list[str]]:
    try:
        config = _plain(lines)
    except (HydraException, OmegaConfBaseException) as error:
        return None, [f"{' '.join(lines)}: {str(error).splitlines()[0]}"]
    cell, faults = _judge_values(config)
    if cell is None:
        return None, faults
    faults = rules.faults(cell)
    if faults:  # the batch algebra below needs numbers that divide
        return None, faults
    facts = content.facts(cell)
    if facts.faults:
        return None, [line for fault in facts.faults for line in fault.splitlines()]
    cell = cell.model_copy(update={"deviations": rules.deviations(cell)})
    return Composed(cell=cell, overrides=tuple(lines), hashes=facts.hashes, batch=rules.arm(cell)), []


def compose(lines: list[str], *, multirun: bool, config_dir: Path | None = None) -> tuple[list[Composed], list[str]]:
    """All cells of a command, and all their faults; where there are faults nothing may start.

    `lines` are Hydra override lines; with `multirun`, sweeps in them span a grid. `config_dir` adds the user's own
    configuration tree.
    """
    conf = conf_dir()
    judged = judge(lines, conf, config_dir)
    sweeps = [o.input_line for o in judged.good if o.is_sweep_override()]
    if sweeps and not multirun:
        judged.faults.append(
            f"{' '.join(str(s).lstrip('+') for s in sweeps)}: several values make several cells; add -m"
        )
        judged.good = [o for o in judged.good if not o.is_sweep_override()]
    # The search path is an override too; a user's tree comes first, so that it can shadow ours.
    extra = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
    composed, faults = [], list(judged.faults)
    with initialize_config_dir(str(conf), version_base="1.3"):
        for cell_lines in _grid(judged.good):
            cell, found = _judge_cell([*cell_lines, *extra])
            faults += [fault for fault in found if fault not in faults]
            if cell is not None:
                composed.append(cell)
    return composed, faults + _doubles(composed)


def _doubles(cells: list[Composed]) -> list[str]:
    """Cells of a grid that are one and the same: an axis changes nothing that counts."""
    first: dict[str, Composed] = {}
    found = []
    for cell in cells:
        other = first.setdefault(cell.cell_id, cell)
        if other is not cell:
            ours, theirs = (" ".join(x.strip("+") for x in c.overrides) for c in (cell, other))
            found.append(f"{ours}: is the same cell as {theirs}; leave one of them out")
    return found


def compose_or_refuse(lines: list[str], *, multirun: bool, config_dir: Path | None = None) -> list[Composed]:
    """As `compose`, raising UserError with all faults, one a line."""
    composed, faults = compose(lines, multirun=multirun, config_dir=config_dir)
    if faults:
        raise UserError("\n".join(faults))
    return composed
