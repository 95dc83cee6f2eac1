"""Where a label file came from, kept beside it (labels.jsonl has labels.provenance.json), and whether it fits a cell.

    read(Path("labels.jsonl"))                  # Provenance, or None: a file of others, such as the released ones
    faults, deviations = check(Path("labels.jsonl"), cell, {"model": "ab12...", "data": "..."})

Labels of another model are another experiment: they are refused in one line, with the command that makes the right
ones. Standard library only, as all that judges cells.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.data.content import content_sha256
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Cell, Source

FORMAT = 1
SHOWN = 12  # digits of a hash
# What `label --authors` sets (Spurious Rewards, section 1.3): the bare prompt, no stop string, the authors' grader.
AUTHORS = ("model.template=raw", "model.prefix=null", "model.stop=[]", "model.stop_tokens=[]", "grading.grader=authors")
# Its sampling, which `label` leaves to the command and the preset.
AUTHORS_SAMPLING = {"samples": 64, "temperature": 1.0, "top_p": 1.0}
AUTHORS_TOKENS = 3072


@dataclass(frozen=True)
class Provenance:
    """What made a label file. `model` is None where no model did (shuffled gold answers)."""

    command: str
    labels_sha256: str
    model: dict[str, Any] | None  # name, family, hub, revision, sha256, template, prefix
    data: dict[str, Any]  # name, rows, sha256, verifier, and of a Hub dataset: hub, config, split, revision
    sampling: dict[str, Any] | None
    extractor: dict[str, Any]
    vote: dict[str, Any]


def sidecar(labels: Path) -> Path:
    """Where the provenance of a label file lies."""
    return labels.with_name(labels.stem + ".provenance.json")


def read(labels: Path) -> Provenance | None:
    """The provenance of a label file; None where it has none. UserError: a sidecar that cannot be read."""
    path = sidecar(labels)
    try:
        document = json.loads(path.read_text())
        if document.pop("format") != FORMAT:
            raise UserError(f"{path}: written by another version; make the labels again with this one")
        return Provenance(**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no provenance of labels ({error}); make the labels again, or remove it") from None


def model_facts(cell: "Cell", hashes: dict[str, str]) -> dict[str, Any]:
    """What a provenance says of the model that was sampled."""
    model = cell.model
    return {
        "name": model.name,
        "family": model.family,
        "hub": model.hub,
        "revision": model.revision,
        "sha256": hashes.get("model"),
        "template": model.template,
        "prefix": model.prefix,
    }


def data_facts(source: "Source", *, name: str, rows: int, sha256: str) -> dict[str, Any]:
    """What a provenance says of the data."""
    hub = {key: getattr(source, key) for key in ("hub", "config", "split", "revision")} if source.hub else {}
    return {"name": name, "rows": rows, "sha256": sha256, "verifier": source.verifier, **hub}


def default_path(cell: "Cell") -> Path:
    """Where `label` puts the labels of a model and its data, and where reward=labelled/... looks for them."""
    return Path("labels") / cell.model.name / f"{cell.data.name}.jsonl"


def as_authors(cell: "Cell") -> bool:
    """Whether a cell wants labels as the authors of Spurious Rewards made them (section 1.3): the bare prompt, a vote
    over exact strings, empty labels kept. Cells do that keep empty labels and go by the authors' grader."""
    return cell.grading.grader == "authors" and cell.data.empty_labels == "keep"


def too_few(labels: Path, cell: "Cell", *, prompts: int) -> str | None:
    """Why a cell would stop when it has judged these labels: they leave it no row, or fewer than the `prompts` of a
    rollout. None where they are enough, or where that is not known yet."""
    made, data = read(labels), cell.data
    if made is None or (data.label_filter == "incorrect" and made.extractor["grader"] != cell.grading.grader):
        return None
    kind = "wrong" if data.label_filter == "incorrect" else "filled"
    most, lines = made.vote.get(kind), made.vote["lines"]
    if most is not None and data.empty_labels == "keep":
        most += lines - made.vote["filled"]  # an empty one is wrong
    if most is None or most >= prompts or (most and data.repeat):
        return None
    if most == 0:
        return f"none of its {lines} labels is {kind}, so no row is left; leave this cell out, or write other labels"
    return (
        f"{most} of its {lines} labels are {kind}, which cannot fill a rollout of {prompts} prompts; "
        f"write algo.prompts_per_rollout={most} or fewer, or data.repeat=true"
    )


def remedy(labels: Path, cell: "Cell", *, make: str) -> str:
    """What to write in the place of a label file that is not the cell's. `make` makes its labels at `default_path`."""
    if labels == default_path(cell):  # `label` writes over no labels: another cell may need them
        return f"write data.labels=FILE.jsonl, made by: {make} --out FILE.jsonl"
    return f"write data.labels={default_path(cell)}, made by: {make}"


def check(labels: Path, cell: "Cell", hashes: dict[str, str], *, make: str) -> tuple[list[str], list[str]]:
    """What is wrong with using a label file for a cell, and what a reader must know beside its numbers; a line each.

    `hashes` are those of the cell's own files (config/content.py), `make` is the command that makes its labels where
    `default_path` says. Rows are compared where the data as a whole is not the same: a part of the labelled rows is as
    good."""
    made = read(labels)
    key = f"data.labels={labels}"
    if made is None:
        return [], [f"{key}: has no provenance (*.provenance.json): whose labels it holds is not known here"]
    if made.labels_sha256 != content_sha256(labels):
        return [
            f"{key}: was changed after it was made; remove it and make it again: {made.command} (or remove "
            f"{sidecar(labels).name}, and its labels count as of unknown origin)"
        ], []
    said = _other_model(made, cell, hashes) or _other_data(made, labels, cell, hashes)
    if said:
        return [f"{key}: {said}; {remedy(labels, cell, make=make)}"], []
    return [], _deviations(made, key, cell, hashes)


def _other_model(made: Provenance, cell: "Cell", hashes: dict[str, str]) -> str | None:
    """Why the labels are those of another model, or None."""
    there, model = made.model, cell.model
    if there is None:
        return None
    if there["family"] != model.family:
        return (
            f"labels of {there['name']} (family {there['family']}), the cell's model is {model.name} ({model.family})"
        )
    here = hashes.get("model")
    if there["sha256"] and here and there["sha256"] != here:
        return (
            f"labels of another revision of {model.name} (content {there['sha256'][:SHOWN]}, the cell's is "
            f"{here[:SHOWN]})"
        )
    if there["hub"] and model.hub and (there["hub"], there["revision"]) != (model.hub, model.revision):
        return (
            f"labels of {there['hub']} at revision {there['revision']}, the cell's model is {model.hub} at "
            f"{model.revision}"
        )
    return None


def _other_data(made: Provenance, labels: Path, cell: "Cell", hashes: dict[str, str]) -> str | None:
    """Why the labels are those of other data, or None."""
    data, here = cell.data, hashes.get("data")
    if here is None:  # a Hub dataset stands for itself by its revision; its rows are compared when it is read
        there = (made.data.get("hub"), made.data.get("revision"))
        if there[0] and there != (data.hub, data.revision):
            return f"made for {there[0]} at revision {there[1]}, the cell's data is {data.hub} at {data.revision}"
        return None
    if made.data["sha256"] == here:
        return None
    from rlvr_sweep.data.labels import compare_rows, read_labels
    from rlvr_sweep.data.sources import load

    found = compare_rows(load(data, key="data").rows, read_labels(labels))
    return f"made for other data ({made.data['name']}): {found}" if found else None


def _deviations(made: Provenance, key: str, cell: "Cell", hashes: dict[str, str]) -> list[str]:
    found, model = [], made.model
    if hashes.get("data", made.data["sha256"]) != made.data["sha256"]:
        from rlvr_sweep.data.sources import load

        rows, labelled = len(load(cell.data, key="data").rows), made.data["rows"]
        found += [f"{key}: made for {labelled} of {rows} rows; the others are not trained on"] * (labelled < rows)
    if model is None:
        return [*found, f"{key}: {made.vote['pick']}, by no model"]
    found += _other_labels(made, key, cell) + _otherwise_made(made, model, key, cell)
    if bool(model["sha256"]) != (cell.model.hub is None):
        found.append(
            f"{key}: made by {model['hub'] or model['name']}; whether that is this model's revision is not known"
        )
    return found


def _other_labels(made: Provenance, key: str, cell: "Cell") -> list[str]:
    """What the labels are, where they are not the majority's of every prompt, and how else their answers were found."""
    pick, kept, data = made.vote["pick"], made.vote["filter"], cell.data
    found = []
    if pick != "majority":
        found.append(f"{key}: made with --pick {pick}, so its labels are not the majority's")
    if kept != "all" and kept != data.label_filter:
        found.append(f"{key}: made with --filter {kept}; the prompts it left out are not trained on")
    grader, extraction = made.extractor["grader"], made.extractor["extraction"]
    if data.verifier == "math" and grader != cell.grading.grader:
        found.append(f"{key}: made with grading.grader={grader}, the cell goes by {cell.grading.grader}")
    elif grader != "authors" and extraction != cell.algo.extraction:  # that one finds answers by itself
        found.append(f"{key}: made with algo.extraction={extraction}, the cell goes by {cell.algo.extraction}")
    sampling, tokens = made.sampling or {}, cell.algo.max_completion_tokens
    if sampling and sampling["max_tokens"] != tokens:
        found.append(f"{key}: sampled with at most {sampling['max_tokens']} tokens, the cell trains with {tokens}")
    if sampling and as_authors(cell):
        found += [
            f"{key}: sampled with {name} {sampling[name]:g}, where the paper's code has {value:g}"
            for name, value in AUTHORS_SAMPLING.items()
            if sampling[name] != value
        ]
    return found


def _otherwise_made(made: Provenance, model: dict[str, Any], key: str, cell: "Cell") -> list[str]:
    """How the labels were sampled, voted and kept, where that is not what the cell goes by."""
    prefix = f" and prefix {model['prefix']!r}" if model["prefix"] else ""
    asked = f"{key}: sampled with model.template={model['template']}{prefix}"
    lines, filled = made.vote["lines"], made.vote["filled"]
    found = []
    if as_authors(cell):
        if (model["template"], model["prefix"]) != ("raw", None):
            found.append(f"{asked}, where the paper's code asks with the bare prompt")
        if made.vote["how"] != "exact":
            found.append(f"{key}: voted by {made.vote['how']}, where the paper's code counts exact strings")
        if made.vote["empty"] != "keep":
            found.append(f"{key}: empty labels were left out when it was made; the paper's code trains on them")
    elif (model["template"], model["prefix"]) != (cell.model.template, cell.model.prefix):
        found.append(f"{asked}, the cell trains with {cell.model.template}")
    if filled < lines and cell.data.empty_labels == "drop":
        found.append(f"{key}: {lines - filled} of {lines} labels are empty, and their prompts are not trained on")
    return found
