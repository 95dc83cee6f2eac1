"""The files of a Hub dataset or model, from the network or from the cache, by huggingface_hub (HF_ENDPOINT, HF_HOME).

    HF_HUB_OFFLINE=1: only what `python -m rlvr_sweep prefetch ...` brought is read, at the very commit that it brought

What belongs to a split is written down when it is fetched (a small JSON file under HF_HOME/assets), so that a partly
filled cache is never mistaken for the whole split.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rlvr_sweep.data import kor
from rlvr_sweep.data.splits import choose
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Source

COMMIT = re.compile(r"[0-9a-f]{40}")
# What `from_pretrained` reads of a model: no other framework's weights, no original checkpoints.
MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py"]
NOT_MODEL_FILES = ["original/*", "*/original/*"]


@dataclass(frozen=True)
class Located:
    """The files of a split: the commit they are of, their names in the repository and where they lie in the cache."""

    commit: str
    files: list[str]
    paths: list[Path]


def locate(source: "Source", *, key: str) -> Located:
    """The files of a Hub source, fetched where they are not in the cache.

    Offline (HF_HUB_OFFLINE) and for a pinned commit the cache alone answers; a branch or no revision is asked anew.
    UserError: no such dataset, revision, config or split, no access, no network, or offline and not in the cache.
    """
    from huggingface_hub import constants

    if source.hub is None:
        raise UserError(f"{key}.hub: missing; write {key}.hub=NAME/DATASET")
    noted = _read_note(source)
    if noted is not None and (constants.HF_HUB_OFFLINE or COMMIT.fullmatch(source.revision or "")):
        paths = [_cached(source.hub, noted["commit"], name) for name in noted["files"]]
        absent = [name for name, path in zip(noted["files"], paths, strict=True) if path is None]
        if not absent:
            return Located(noted["commit"], noted["files"], [path for path in paths if path is not None])
        if constants.HF_HUB_OFFLINE:
            raise _not_cached(source, key, what=f"the file {', '.join(absent)}")
    if constants.HF_HUB_OFFLINE:
        raise _not_cached(source, key, what=f"its split {source.split or '(the only one)'}")
    return fetch(source, key=key)


def fetch(source: "Source", *, key: str) -> Located:
    """Bring the files of a split into the cache and note which they are. UserError as `locate`."""
    from huggingface_hub import HfApi, hf_hub_download, metadata_load

    hub = source.hub
    if hub is None:
        raise UserError(f"{key}.hub: missing; write {key}.hub=NAME/DATASET")
    with explained(f"{key}.hub={hub}", revision_key=f"{key}.revision", revision=source.revision):
        info = HfApi().dataset_info(hub, revision=source.revision)
        commit = info.sha
        if commit is None:
            raise UserError(f"{key}.hub={hub}: the Hub named no commit; write {key}.revision=COMMIT")
        names = [sibling.rfilename for sibling in info.siblings or []]

        def bring(name: str) -> Path:
            return Path(hf_hub_download(hub, name, repo_type="dataset", revision=commit))

        card = (metadata_load(bring("README.md")) or {}) if "README.md" in names else {}
        if source.kind == "kor":
            files = sorted(kor.choose(names, kor.category(source.task, key=key)).values())
        else:
            files = choose(names, card, config=source.config, split=source.split, key=key, hub=hub)
        paths = [bring(name) for name in files]
    _write_note(source, {"hub": hub, "commit": commit, "files": files})
    return Located(commit, files, paths)


def model_folder(hub: str, revision: str | None) -> Path:
    """Where a model's files of that revision lie, fetched where they are not in the cache. Raises what the Hub's client
    does (see `explained`)."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub, revision=revision, allow_patterns=MODEL_FILES, ignore_patterns=NOT_MODEL_FILES))


@contextmanager
def explained(what: str, *, revision_key: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx

    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"{what}: ask for access on its page at {constants.ENDPOINT}; then run `hf auth login` or set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{what}: {constants.ENDPOINT} knows no such repository; write another id, or set HF_TOKEN if it is private"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{what}: no revision {revision!r}; write {revision_key}=main or a commit of it") from None
    except HFValidationError as error:
        raise UserError(f"{what}: {str(error).splitlines()[0]}; write NAME or OWNER/NAME") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{what}: cannot be brought from {constants.ENDPOINT} ({reason}); try again on a node with network, "
            "or set HF_HUB_OFFLINE=1 to use what is in the cache"
        ) from None


def _not_cached(source: "Source", key: str, *, what: str) -> UserError:
    from huggingface_hub import constants

    return UserError(
        f"{key}: dataset {source.hub}, revision {source.revision or 'main'}: {what} is not in the cache at "
        f"{constants.HF_HOME} and HF_HUB_OFFLINE is set; run `python -m rlvr_sweep prefetch` with this run's "
        "overrides on a node with network"
    )


def _cached(hub: str, commit: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub, name, revision=commit, repo_type="dataset")
    return Path(path) if isinstance(path, str) else None


def _note_path(source: "Source") -> Path:
    from huggingface_hub import cached_assets_path

    folder = cached_assets_path("rlvr_sweep", namespace="datasets", subfolder=str(source.hub))
    parts = [source.revision or "main", source.config or "", source.split or ""]
    if source.kind == "kor":  # one note for all splits of a category
        parts = [parts[0], "kor", str(source.task)]
    return folder / (",".join(quote(part, safe="") for part in parts) + ".json")


def _read_note(source: "Source") -> dict | None:
    path = _note_path(source)
    return json.loads(path.read_text()) if path.is_file() else None


def _write_note(source: "Source", note: dict) -> None:
    path = _note_path(source)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(note, indent=1))
    os.replace(draft, path)
