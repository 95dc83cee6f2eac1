"""What a cell reads from disk: the hashes that stand for local files in its identity, and the facts of a model folder.

facts(cell) -> Facts(hashes={"model": "ab12...", "data": "..."}, context=256, faults=[])
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from rlvr_sweep.config.rules import arm, context_faults
from rlvr_sweep.config.schema import Cell, Source
from rlvr_sweep.data.content import content_sha256
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.rewards import reward_content


@dataclass
class Facts:
    """Hashes by key of the cell, the model's context length where its folder tells it, and what is wrong."""

    hashes: dict[str, str] = field(default_factory=dict)
    context: int | None = None
    faults: list[str] = field(default_factory=list)


def model_path(cell: Cell) -> Path | None:
    """The local folder of a cell's model, or None for a Hub model. "lab:NAME" is the shipped lab model."""
    path = cell.model.path
    if path is None:
        return None
    if path.startswith("lab:"):
        return model_dir(path.removeprefix("lab:"))
    return Path(path).expanduser()


def _model(cell: Cell, facts: Facts) -> None:
    folder = model_path(cell)
    if folder is None:
        return
    where = f"model.path={cell.model.path}"
    if not folder.is_dir():
        raise UserError(f"{where}: no such folder; write a Hugging Face model folder (config.json, weights, tokenizer)")
    if not (folder / "config.json").is_file():
        raise UserError(f"{where}: holds no config.json; write the folder that `save_pretrained` made")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise UserError(f"{where}: holds no weights (*.safetensors); save the model there with `save_pretrained`")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise UserError(f"{where}: holds no tokenizer; save it there with `tokenizer.save_pretrained({folder.name!r})`")
    if cell.model.template.startswith("chat") and not _has_chat_template(folder):
        raise UserError(f"{where}: its tokenizer has no chat template; write model.template=raw or model.template=r1")
    facts.hashes["model"] = content_sha256(folder)
    facts.context = json.loads((folder / "config.json").read_text()).get("max_position_embeddings")


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and bool(json.loads(config.read_text()).get("chat_template"))


def _source(key: str, source: Source, facts: Facts) -> int | None:
    """Read the rows of a file or a lab task now, so that their faults show before anything starts; their number.
    A Hub dataset stands for itself by its revision."""
    if source.kind == "hub":
        return None
    rows = load(source, key=key)
    facts.hashes[key] = rows.sha256
    return len(rows.rows)


def _data(cell: Cell, facts: Facts) -> None:
    count = _source("data", cell.data, facts)
    prompts = arm(cell).prompts
    if count is not None and count < prompts and not cell.data.repeat:
        raise UserError(
            f"data: {count} rows cannot fill a rollout of {prompts} prompts; "
            f"write algo.prompts_per_rollout={count} or fewer, or data.repeat=true"
        )


def facts(cell: Cell) -> Facts:
    """Look at every file a cell names; faults are gathered, not raised."""
    found = Facts()
    jobs = [lambda: _model(cell, found), lambda: _data(cell, found)]
    jobs += [
        lambda n=name, b=bench: _source(f"eval.benchmarks.{n}", b, found)
        for name, bench in cell.eval.benchmarks.items()
    ]
    jobs += [lambda: _labels(cell, found), lambda: found.hashes.update(reward_content(cell.reward))]
    for job in jobs:
        try:
            job()
        except UserError as error:
            found.faults.append(str(error))
    if cell.model.context is None and found.context is not None:
        found.faults += context_faults(cell, found.context)
    return found


def _labels(cell: Cell, facts: Facts) -> None:
    if cell.data.labels is None:
        return
    path = Path(cell.data.labels).expanduser()
    if not path.is_file():
        raise UserError(f"data.labels={cell.data.labels}: no such file; write a JSONL file of id and label")
    facts.hashes["data.labels"] = content_sha256(path)
