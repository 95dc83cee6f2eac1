"""Rows from where a cell says: a local file, a Hub dataset, a lab task, generated puzzles, or KOR-Bench's files.

from rlvr_sweep.data.sources import load
load(cell.data, key="data").rows[0]         # Row(id=..., prompt=..., answer=...)
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from rlvr_sweep.data.content import content_sha256
from rlvr_sweep.data.files import Place, read
from rlvr_sweep.data.rows import Row, Rows, judge, rows_sha256
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Source


def load(source: "Source", *, key: str) -> Rows:
    """The rows of a source, its first `count` where it says so, and of `Data` only those that `ids` picks.

    `key` is where the source lies in the cell ("data", "eval.benchmarks.math500"), for messages. UserError: whatever
    is wrong with the source or its rows, all of its faults at once.
    """
    where, places, facts = SOURCES[source.kind](source, key)
    if source.count is not None and source.count > len(places):
        raise UserError(f"{where}: has {len(places)} rows; write {key}.count={len(places)}, fewer, or {key}.count=null")
    rows = judge(places[: source.count], source, key=key, where=where)
    facts |= {"rows": len(places), "used": len(rows)}
    ids = getattr(source, "ids", None)
    if ids is not None:
        rows = pick(rows, ids, key=key)
        facts["used"] = len(rows)
    return Rows(rows=rows, sha256=rows_sha256(rows), facts=facts)


def pick(rows: Sequence[Row], ids: Sequence[str], *, key: str) -> list[Row]:
    """The rows with these ids, in the order of `ids` (one-shot RL). UserError: an unknown id, or one named twice."""
    by_id = {row.id: row for row in rows}
    if not ids:
        raise UserError(f"{key}.ids: picks no row; write {key}.ids=[{next(iter(by_id))}], or {key}.ids=null for all")
    faults = []
    for row_id in dict.fromkeys(ids):
        if row_id not in by_id:
            near = get_close_matches(row_id, by_id, n=3, cutoff=0.0)
            faults.append(f"{key}.ids: no row {row_id!r} among {len(by_id)}; the nearest are {', '.join(near)}")
    faults += [
        f"{key}.ids: {i!r} comes twice; write it once, and {key}.repeat=true" for i in set(ids) if ids.count(i) > 1
    ]
    if faults:
        raise UserError("\n".join(faults))
    return [by_id[row_id] for row_id in ids]


Found = tuple[str, list[Place], dict]


def _file(source: "Source", key: str) -> Found:
    if source.path is None:
        raise UserError(f"{key}.path: missing; write {key}.path=problems.jsonl")
    path = Path(source.path).expanduser()
    places = read(path, key=key)
    return f"{key}: {path}", places, {"kind": "file", "path": str(path), "file_sha256": content_sha256(path)}


def _lab(source: "Source", key: str) -> Found:
    from rlvr_sweep.lab import tasks

    if source.task is None:
        raise UserError(f"{key}.task: missing; write {key}.task={' or '.join(tasks.TASKS)}")
    if source.split not in ("train", "test"):
        raise UserError(f"{key}.split={source.split}: the lab has train and test; write {key}.split=train")
    total = len(tasks.problems(tasks.find_task(source.task).name, source.split))
    count = min(source.count or total, total)  # too large a count is refused in `load`, as for every source
    raw = tasks.rows(source.task, split=source.split, count=count)
    places = [(f"row {number}", row) for number, row in enumerate(raw, start=1)]
    return f"{key}: lab task {source.task}", places, {"kind": "lab", "task": source.task, "split": source.split}


def _hub(source: "Source", key: str) -> Found:
    from rlvr_sweep.data import hub

    found = hub.locate(source, key=key)
    places = [
        (f"{name} {place}" if len(found.paths) > 1 else place, row)
        for name, path in zip(found.files, found.paths, strict=True)
        for place, row in read(path, key=key)
    ]
    facts = {"kind": "hub", "hub": source.hub, "config": source.config, "split": source.split, "commit": found.commit}
    return f"{key}: {source.hub}", places, facts | {"files": found.files}


def _puzzle(source: "Source", key: str) -> Found:
    from rlvr_sweep.data import puzzles

    if source.task is None:
        raise UserError(f"{key}.task: missing; write {key}.task={' or '.join(puzzles.NAMES)}")
    for option, value, example in (
        ("difficulty", source.difficulty, 3),
        ("split", source.split, "train"),
        ("count", source.count, 2000),
    ):
        if value is None:
            raise UserError(f"{key}.{option}: missing, and there is no end of puzzles; write {key}.{option}={example}")
    facts = {"task": source.task, "difficulty": source.difficulty, "wording": source.wording, "split": source.split}
    if source.split not in ("train", "test"):
        raise UserError(f"{key}.split={source.split}: puzzles have train and test; write {key}.split=train")
    try:
        raw = puzzles.rows(
            source.task,
            difficulty=source.difficulty or 0,
            split=source.split,
            count=source.count or 0,
            wording=source.wording,
        )
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    places = [(f"row {number}", row) for number, row in enumerate(raw, start=1)]
    return f"{key}: puzzle {source.task}", places, {"kind": "puzzle"} | facts


def _kor(source: "Source", key: str) -> Found:
    from rlvr_sweep.data import hub, kor

    wanted = kor.category(source.task, key=key)
    if source.path is not None:
        path = Path(source.path).expanduser()
        if path.is_dir():
            folder = [file for depth in ("*", "*/*", "*/*/*") for file in path.glob(depth) if file.is_file()]
            named = {f"{path.resolve().name}/{file.relative_to(path).as_posix()}": file for file in folder}
            paths = {what: named[name] for what, name in kor.choose(sorted(named), wanted).items()}
        else:
            paths = {"sample": path}
        where, facts = f"{key}: {path}", {"path": str(path)}
    else:
        found = hub.locate(source, key=key)
        named = dict(zip(found.files, found.paths, strict=True))
        paths = {what: named[name] for what, name in kor.choose(found.files, wanted).items()}
        where, facts = f"{key}: {source.hub}", {"hub": source.hub, "commit": found.commit}
    if "sample" not in paths:
        raise UserError(
            f"{where}: holds no {wanted}/sample.jsonl; write the folder of KOR-Bench's data, or another dataset"
        )
    rows = kor.places(paths, wanted=wanted, split=source.split, shots=source.shots, key=key)
    files = {what: file.name for what, file in paths.items()}
    return (
        where,
        rows,
        {"kind": "kor", "task": wanted, "split": source.split, "shots": source.shots} | facts | {"files": files},
    )


SOURCES = {"file": _file, "lab": _lab, "hub": _hub, "puzzle": _puzzle, "kor": _kor}
