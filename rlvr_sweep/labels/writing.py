"""A label file and its provenance, on disk: both, or neither.

write(Path("labels.jsonl"), made, choice, composed, store, samples=64, command="python -m rlvr_sweep label ...")
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr_sweep.cell_dir import write_atomically
from rlvr_sweep.data.provenance import FORMAT, data_facts, model_facts, sidecar
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import EXTRACTORS
from rlvr_sweep.evals.store import Store
from rlvr_sweep.grading.pool import versions
from rlvr_sweep.labels.making import Choice, Made
from rlvr_sweep.labels.votes import VERSION

if TYPE_CHECKING:
    from rlvr_sweep.config.compose import Composed

NAMES = {"1": "majority", "-1": "least"}


def write(
    out: Path, made: Made, choice: Choice, composed: "Composed", store: Store | None, *, samples: int, command: str
) -> None:
    """Write the lines and where they came from. A file that holds these lines already is left as it is; UserError where
    it holds others, since a training may have its identity from them, or where nothing can be written."""
    text = "".join(json.dumps(line.as_row(), ensure_ascii=False) + "\n" for line in made.lines)
    if out.exists():
        if out.read_text(encoding="utf-8") == text:
            return
        raise UserError(f"--out {out}: is there and holds other labels; write another name, or remove it")
    document = provenance(made, choice, composed, store, samples=samples)
    document |= {"command": command, "labels_sha256": hashlib.sha256(text.encode()).hexdigest()}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # The provenance comes first: labels without it would pass for those of others.
        write_atomically(sidecar(out), json.dumps(document, indent=1) + "\n")
        write_atomically(out, text)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror}); write another --out") from None


def provenance(
    made: Made, choice: Choice, composed: "Composed", store: Store | None, *, samples: int
) -> dict[str, Any]:
    """What data/provenance.py reads, but for the hash of the labels and the command. Labels that no model made (store
    is None) name none."""
    cell = composed.cell
    rows = load(cell.data, key="data")
    return {
        "format": FORMAT,
        "model": model_facts(cell, composed.hashes) if store else None,
        "data": data_facts(cell.data, name=cell.data.name, rows=len(rows.rows), sha256=rows.sha256),
        "sampling": _sampling(store, samples) if store else None,
        "extractor": {
            "extraction": cell.algo.extraction,
            "grader": cell.grading.grader,
            "version": EXTRACTORS,
            "releases": versions(),
        },
        "vote": {
            "how": choice.vote,
            "version": VERSION,
            "pick": NAMES.get(choice.pick, choice.pick),
            "filter": choice.filter,
            "code_share": choice.code_share,
            "empty": choice.empty,
            "lines": len(made.lines),
            "filled": sum(bool(line.label) for line in made.lines),
            "wrong": sum(line.correct is False and bool(line.label) for line in made.lines),
        },
    }


def _sampling(store: Store, samples: int) -> dict[str, Any]:
    job = store.job
    bench = job.benchmark
    return {
        "samples": samples,
        "temperature": bench.temperature,
        "top_p": bench.top_p,
        "max_tokens": job.max_tokens,
        "seed": job.cell.seed,
        "store": store.id,
    }
