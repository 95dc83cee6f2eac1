"""Rows out of a file: JSON lines, a JSON list or parquet, each row with its place, for faults that name the line.

for place, row in read(Path("problems.jsonl"), key="data"): ...      # ("line 1", {"prompt": ..., "answer": ...})
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlvr_sweep.data.content import missing
from rlvr_sweep.errors import UserError

SUFFIXES = (".jsonl", ".json", ".parquet")
SHOWN = 10  # faults of a file that are shown; the others are counted

Place = tuple[str, Any]  # where a row is, and what is there: a dict, or a Broken


class Broken(str):
    """Why nothing could be read at a place."""


def read(path: Path, *, key: str) -> list[Place]:
    """Every row of a file with its place ("line 3", "row 3"). UserError: no such file, or none of the three formats.

    A line that cannot be read gives a `Broken`, so that the caller can list all faults of the file at once.
    """
    path = path.expanduser()
    if not path.is_file():
        if path.is_dir():
            raise UserError(f"{key}: {path} is a folder; write one of its files ({', '.join(SUFFIXES)})")
        raise missing(path, key=key)
    readers = {".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise UserError(
            f"{key}: {path} has the ending {path.suffix!r}; write a file that ends in {', '.join(SUFFIXES)}"
        )
    return list(readers[path.suffix.lower()](path, key))


def _jsonl(path: Path, key: str) -> Iterator[Place]:
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line.decode())
        except UnicodeDecodeError as error:
            yield f"line {number}", Broken(f"not UTF-8 ({error.reason} at byte {error.start + 1})")
        except json.JSONDecodeError as error:
            yield f"line {number}", Broken(f"broken JSON ({error.msg} at column {error.colno})")


def _json(path: Path, key: str) -> Iterator[Place]:
    """A list of objects; objects one after the other are read as JSON lines, as the Hub's .json files often are."""
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        rows = json.loads(raw.decode()) if raw.strip() else []
    except UnicodeDecodeError as error:
        raise UserError(
            f"{key}: {path}: not UTF-8 ({error.reason} at byte {error.start + 1}); save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        if raw.lstrip()[:1] == b"{" and error.msg == "Extra data":
            yield from _jsonl(path, key)
            return
        raise UserError(
            f"{key}: {path} line {error.lineno}: broken JSON ({error.msg} at column {error.colno}); "
            "write a list of objects, or one object a line in a .jsonl file"
        ) from None
    if not isinstance(rows, list):
        raise UserError(f"{key}: {path}: holds {kind_of(rows)}; write a list of objects, or a .jsonl file")
    yield from ((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _parquet(path: Path, key: str) -> Iterator[Place]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{key}: {path}: not a parquet file ({reason}); bring it again, or write a .jsonl file"
        ) from None
    yield from ((f"row {number}", row) for number, row in enumerate(table.to_pylist(), start=1))


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "nothing (null)" if value is None else names.get(type(value), type(value).__name__)


def refuse(faults: list[str], *, where: str, remedy: str) -> None:
    """Raise one UserError for all faults of a file, at most SHOWN of them shown; nothing where there are none."""
    if not faults:
        return
    shown = [f"{where} {fault}" for fault in faults[:SHOWN]]
    more = len(faults) - SHOWN
    shown.append(f"{where}: {f'and {more} more faults; ' if more > 0 else ''}{remedy}")
    raise UserError("\n".join(shown))
