"""What a cell reads from disk: the hashes that stand for local files in its identity, and the facts of a model folder.

facts(cell) -> Facts(hashes={"model": "ab12...", "data": "..."}, context=256, faults=[])

A `Reader` reads each source once for all cells of a command.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlvr_sweep.config import label_command
from rlvr_sweep.config.model_folder import check
from rlvr_sweep.config.rules import arm, context_faults
from rlvr_sweep.config.schema import Cell, Source
from rlvr_sweep.data import provenance
from rlvr_sweep.data.content import content_sha256
from rlvr_sweep.data.labels import matched, read_labels
from rlvr_sweep.data.sources import load
from rlvr_sweep.data.templates import needs_chat
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.rewards import reward_content
from rlvr_sweep.shapes import table as shapes


@dataclass
class Facts:
    """Hashes by key of the cell, the model's context length where its folder tells it, what is wrong, and what a reader
    must know of the files beside the cell's numbers."""

    hashes: dict[str, str] = field(default_factory=dict)
    context: int | None = None
    faults: list[str] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)


def model_path(cell: Cell) -> Path | None:
    """The local folder of a cell's model, or None for a Hub model."""
    return None if cell.model.path is None else model_folder(cell.model.path)


def model_folder(path: str) -> Path:
    """The folder that a model.path means: "lab:NAME" is the shipped lab model, "shape:NAME" random weights, which
    shapes/folder.py writes there."""
    if path.startswith("lab:"):
        return model_dir(path.removeprefix("lab:"))
    shape = shapes.name_in(path)
    return shapes.folder(shape) if shape else Path(path).expanduser()


class Reader:
    """What cells name on disk, read once. Keep it for one command: files change between two."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], Any] = {}

    def once(self, key: tuple[str, ...], read: Callable[[], Any]) -> Any:
        """What `read` returns or, as a UserError, raises; called once for each key."""
        if key not in self._seen:
            try:
                self._seen[key] = read()
            except UserError as error:
                self._seen[key] = error
        if isinstance(found := self._seen[key], UserError):
            raise UserError(str(found))
        return found


def _model(where: str, folder: Path, *, chat: bool) -> tuple[str, int | None]:
    """The content hash of a model folder, and its context length in tokens if its config tells it."""
    context = check(where, folder, chat=chat)
    return content_sha256(folder), context


def _rows(key: str, source: Source) -> tuple[str, int]:
    """The hash of a source's rows, and how many they are."""
    rows = load(source, key=key)
    return rows.sha256, len(rows.rows)


def _label_hash(labels: str, make: str) -> str:
    path = Path(labels).expanduser()
    if not path.is_file():
        raise UserError(f"data.labels={labels}: no such file; make it: {make}")
    return content_sha256(path)


def _read_strange_labels(path: Path, data: Source, remedy: str) -> None:
    """UserError where a label file that `label` has not made is none, or none of these rows (those of the Hub are
    looked at when they are read)."""
    labels = read_labels(path)
    if not data.from_hub:
        matched(load(data, key="data").rows, labels, key=f"data.labels: {path}", remedy=remedy)


def facts(cell: Cell, read: Reader | None = None) -> Facts:
    """Look at every file a cell names; faults are gathered, not raised. With `read`, what it has seen is not read
    again."""
    found, read = Facts(), read or Reader()
    for job in (_read_model, _read_data, _read_benchmarks, _read_labels, _read_reward):
        try:
            job(cell, found, read)
        except UserError as error:
            found.faults.append(str(error))
    if cell.model.context is None and found.context is not None:
        found.faults += context_faults(cell, found.context)
    return found


def _read_model(cell: Cell, found: Facts, read: Reader) -> None:
    if (shape := shapes.name_in(cell.model.path)) is not None:  # its recipe stands for what may not be written yet
        found.hashes["model"] = shapes.recipe_hash(shape)
        found.context = shapes.find_shape(shape).max_position_embeddings
        return
    folder, chat = model_path(cell), needs_chat(cell.model.template)
    if folder is None:
        return
    where = f"model.path={cell.model.path}"
    found.hashes["model"], found.context = read.once(
        ("model", where, str(chat)), lambda: _model(where, folder, chat=chat)
    )


def _read_source(key: str, source: Source, found: Facts, read: Reader) -> int | None:
    """Read the rows of a file or a lab task now, so that their faults show before anything starts; their number.
    A Hub dataset stands for itself by its revision."""
    if source.from_hub:
        return None
    found.hashes[key], count = read.once((key, source.model_dump_json()), lambda: _rows(key, source))
    return count


def _read_data(cell: Cell, found: Facts, read: Reader) -> None:
    count, prompts = _read_source("data", cell.data, found, read), arm(cell).prompts
    if count is not None and count < prompts and not cell.data.repeat:
        raise UserError(
            f"data: {count} rows cannot fill a rollout of {prompts} prompts; "
            f"write algo.prompts_per_rollout={count} or fewer, or data.repeat=true"
        )


def _read_benchmarks(cell: Cell, found: Facts, read: Reader) -> None:
    for name, benchmark in cell.eval.benchmarks.items():
        try:
            _read_source(f"eval.benchmarks.{name}", benchmark, found, read)
        except UserError as error:
            found.faults.append(str(error))


def _read_labels(cell: Cell, found: Facts, read: Reader) -> None:
    if (labels := cell.data.labels) is not None:
        path, make = Path(labels).expanduser(), label_command.command(cell)
        here = label_command.command(cell, out=labels)
        found.hashes["data.labels"] = read.once(("labels", labels, here), lambda: _label_hash(labels, here))
        if provenance.read(path) is None:
            remedy = provenance.remedy(path, cell, make=make)
            rows = ("rows", labels, cell.data.model_dump_json(), remedy)
            read.once(rows, lambda: _read_strange_labels(path, cell.data, remedy))
        faults, deviations = provenance.check(path, cell, found.hashes, make=make)
        few = provenance.too_few(path, cell, prompts=arm(cell).prompts)
        found.faults += faults or ([f"data.labels={labels}: {few}"] if few else [])
        found.deviations += deviations


def _read_reward(cell: Cell, found: Facts, read: Reader) -> None:
    found.hashes |= read.once(("reward", cell.reward.model_dump_json()), lambda: reward_content(cell.reward))
