"""Bring every Hub dataset and model that cells need into the cache, on a node with network; then run them offline.

python -m rlvr_sweep prefetch model=qwen2.5_math_7b data=deepscaler eval=paper   # then, to compute, HF_HUB_OFFLINE=1
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlvr_sweep.data import hub
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Model, Source


def prefetch(sources: Sequence[tuple[str, "Source"]], models: Sequence["Model"]) -> None:
    """Fetch the Hub datasets of `sources` ((key in the cell, source)) and the Hub `models`, once each; a line each.

    UserError: offline mode is set, or a repository cannot be brought; what came before it stays in the cache.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("prefetch: HF_HUB_OFFLINE is set; unset it, on a node with network")
    datasets: dict[tuple, tuple[str, Source]] = {}
    for key, source in sources:
        if source.from_hub and source.hub is not None:
            which = (source.hub, source.config, source.revision, source.split, source.task)
            datasets.setdefault(which, (key, source))
    for key, source in datasets.values():
        found = hub.fetch(source, key=key)
        size = sum(path.stat().st_size for path in found.paths)
        _say(
            f"dataset {source.hub} {source.split or ''} at {found.commit[:12]}: "
            f"{len(found.paths)} files, {_megabytes(size)}"
        )
    for model in {(m.hub, m.revision): m for m in models if m.hub is not None}.values():
        _say(_fetch_model(model))
    if not datasets and all(model.hub is None for model in models):
        _say("nothing to bring: these cells need nothing from the Hub")


def _fetch_model(model: "Model") -> str:
    with hub.explained(f"model.hub={model.hub}", revision_key="model.revision", revision=model.revision):
        folder = hub.model_folder(str(model.hub), model.revision)
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"model.hub={model.hub}: holds no *.safetensors; write a model or revision that does")
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return f"model {model.hub} at {folder.name[:12]}: {len(files)} files, {_megabytes(size)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
