"""Which files of a Hub dataset are a split: by the card's `configs`, else by the names, as the Hub's own viewer does.

    choose(["README.md", "data/train-00000-of-00001.parquet"], {}, config=None, split="train")

Pure: it sees names and the card's metadata, so it answers the same with and without network.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from rlvr_sweep.errors import UserError

KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
ENDINGS = (".parquet", ".jsonl", ".json")  # a split that comes in several of them is read in the first
NOT_DATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
SHARD = re.compile(r"data/(?P<split>[^/]+?)-\d{5}-of-\d{5}[^/]*")

Splits = dict[str, list[str]]


def choose(
    names: Sequence[str], card: dict[str, Any], *, config: str | None, split: str | None, key: str, hub: str
) -> list[str]:
    """The data files of one split, sorted. `names` are all files of the repository, `card` its README's metadata.

    UserError where there is no such config or split, or several and none was named; it lists those there are.
    """
    data = sorted(name for name in names if _is_data(name))
    found = _by_card(data, card, config=config, key=key, hub=hub) or _by_name(data, config)
    found = {name: files for name, files in found.items() if files}
    if not found:
        kinds = ", ".join(sorted({PurePosixPath(name).suffix for name in names})) or "no files"
        raise UserError(
            f"{key}.hub={hub}: no data files{f' of config {config!r}' if config else ''} ({kinds} there; "
            f"{', '.join(ENDINGS)} are read); write another dataset or {key}.config, or {key}.path=FILE of its rows"
        )
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split not in found:
        what = f"no split {split!r}" if split else "several splits"
        raise UserError(f"{key}.split: {hub} has {what}; write {key}.split={' or '.join(found)}")
    ending = next(e for e in ENDINGS if any(name.endswith(e) for name in found[split]))
    return [name for name in found[split] if name.endswith(ending)]


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return path.suffix in ENDINGS and path.name not in NOT_DATA and not hidden


def _by_card(data: list[str], card: dict[str, Any], *, config: str | None, key: str, hub: str) -> Splits | None:
    """The splits of a config that the dataset card lists; None where it lists no files."""
    configs = [entry for entry in card.get("configs") or [] if isinstance(entry, dict) and entry.get("data_files")]
    if not configs:
        return None
    by_name = {str(entry.get("config_name", "default")): entry for entry in configs}
    if config is None:
        defaults = [name for name, entry in by_name.items() if entry.get("default")]
        config = next(iter(defaults), "default" if "default" in by_name else None)
        if config is None and len(by_name) == 1:
            config = next(iter(by_name))
    if config not in by_name:
        what = f"no config {config!r}" if config else "several configs"
        raise UserError(f"{key}.config: {hub} has {what}; write {key}.config={' or '.join(by_name)}")
    folder = by_name[config].get("data_dir")
    splits: Splits = {}
    for split, patterns in _patterns(by_name[config]["data_files"]):
        full = [re.compile(_regex(f"{folder.strip('/')}/{p}" if folder else p)) for p in patterns]
        splits.setdefault(split, []).extend(name for name in data if any(r.fullmatch(name) for r in full))
    return splits


def _patterns(data_files: Any) -> list[tuple[str, list[str]]]:
    """(split, patterns) of the forms a card may use: a pattern, a list of them, or a list of {split, path}."""
    listed = data_files if isinstance(data_files, list) else [data_files]
    found = []
    for entry in listed:
        if isinstance(entry, dict):
            path = entry.get("path", [])
            found.append(
                (str(entry.get("split", "train")), [str(p) for p in (path if isinstance(path, list) else [path])])
            )
        else:
            found.append(("train", [str(entry)]))
    return found


def _regex(pattern: str) -> str:
    """A glob over repository paths: `**` crosses folders, `*` and `?` do not."""
    special = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern.removeprefix("./"))
    return "".join(special.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)


def _by_name(data: list[str], config: str | None) -> Splits:
    """Splits told by shard names, else by folder names, else by file names; with none of them all is "train"."""
    if config is not None:
        data = [name for name in data if name.startswith(f"{config}/")]
    sharded: Splits = {}
    for name in data:
        if match := SHARD.fullmatch(name):
            sharded.setdefault(match["split"], []).append(name)
    if sharded:
        return sharded
    for told_by in (_folder_words, _file_words):
        found: Splits = {
            split: [name for name in data if any(_has(word, keywords) for word in told_by(name))]
            for split, keywords in KEYWORDS.items()
        }
        if any(found.values()):
            return found
    return {"train": data}


def _folder_words(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts[:-1]


def _file_words(name: str) -> tuple[str, ...]:
    return (PurePosixPath(name).name,)


def _has(word: str, keywords: tuple[str, ...]) -> bool:
    return re.search(rf"(?:^|[-._ 0-9])(?:{'|'.join(keywords)})(?:[-._ 0-9]|$)", word) is not None
