"""A row of data and the judge of raw rows: every fault of a source comes in one error, with its line.

Row(id="train-7", prompt="What is 2+3?", answer="5", columns={"level": 1})
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rlvr_sweep.data.files import Broken, Place, kind_of, refuse
from rlvr_sweep.errors import UserError

if TYPE_CHECKING:
    from rlvr_sweep.config.schema import Source

# Names that other people's datasets give to the two columns, for the hint where one is missing.
ALIASES = {
    "prompt": ("prompt", "problem", "question", "input", "instruction", "query"),
    "answer": ("answer", "solution", "final_answer", "target", "output", "gold", "label"),
}


@dataclass(frozen=True)
class Row:
    """One question. `id` is stable and unique in its source; `columns` holds whatever else the source said of it."""

    id: str
    prompt: str
    answer: str
    columns: dict[str, Any] = field(default_factory=dict)
    label: str | None = None  # pseudo-label, where a label file was attached


@dataclass(frozen=True)
class Rows:
    """The rows of one source. `facts` says where they came from (a Hub commit, a file), for the record."""

    rows: list[Row]
    sha256: str  # of ids, prompts and answers, in order
    facts: dict[str, Any] = field(default_factory=dict)


def rows_sha256(rows: Sequence[Row]) -> str:
    """SHA-256 (hex) over the rows' ids, prompts and answers: the same whether they came from the Hub or a file."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.id, row.prompt, row.answer], ensure_ascii=False).encode())
    return digest.hexdigest()


def prompt_id(prompt: str) -> str:
    """The id of a row whose source has none: 16 hex digits of its prompt's hash."""
    return hashlib.blake2b(prompt.strip().encode(), digest_size=8).hexdigest()


def text(value: Any) -> str | Broken:
    """A value of a row as text: numbers are written out, anything that is not text or a number is broken."""
    if isinstance(value, str):
        if not value.strip():
            return Broken("is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            return Broken("holds half of a surrogate pair")
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Broken("is missing")
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return Broken(f"is {kind_of(value)}, not text or a number")


def judge(places: Sequence[Place], source: "Source", *, key: str, where: str) -> list[Row]:
    """Turn raw rows into `Row`s by the source's columns. `where` names the file; UserError lists all faults.

    Ids are the id column's where the source has that column, and else hashes of the prompts; repeats of one prompt
    then count up (`<hash>`, `<hash>-2`, ...). Blank and missing prompts, answers and ids, values of another type and
    ids that come twice are faults.
    """
    columns = Counter(column for _, row in places if isinstance(row, dict) for column in row)
    _need_columns(columns, source, key=key, where=where)
    with_ids = source.id_column is not None and source.id_column in columns
    rows, faults, seen, repeats = [], [], {}, Counter()
    for place, raw in places:
        if isinstance(raw, Broken) or not isinstance(raw, dict):
            faults.append(f"{place}: {raw if isinstance(raw, Broken) else f'is {kind_of(raw)}, not an object'}")
            continue
        prompt, answer = _prompt(raw.get(source.prompt_column)), text(raw.get(source.answer_column))
        found = [
            f"{place}: {column} {value}"
            for column, value in ((source.prompt_column, prompt), (source.answer_column, answer))
            if isinstance(value, Broken)
        ]
        if with_ids:
            row_id = text(raw.get(source.id_column))
            if isinstance(row_id, Broken):
                found.append(f"{place}: {source.id_column} {row_id}")
            elif row_id in seen:
                found.append(f"{place}: {source.id_column} {row_id!r} is also that of {seen[row_id]}")
            seen.setdefault(row_id, place)
        else:
            row_id = prompt_id(prompt)
            repeats[row_id] += 1
            row_id += f"-{repeats[row_id]}" if repeats[row_id] > 1 else ""
        if found:
            faults += found
            continue
        used = {source.prompt_column, source.answer_column} | ({source.id_column} if with_ids else set())
        rows.append(Row(row_id, prompt, answer, {name: value for name, value in raw.items() if name not in used}))
    remedy = f"mend them; each row needs {source.prompt_column} and {source.answer_column}"
    if any("is also that of" in fault for fault in faults):
        remedy += f", and its own {source.id_column}, or write {key}.id_column=null (ids then come from the prompts)"
    refuse(faults, where=where, remedy=remedy)
    if not rows:
        raise UserError(f"{where}: holds no rows; write a source with at least one question and its answer")
    return rows


def _prompt(value: Any) -> str | Broken:
    if isinstance(value, str) or value is None:
        return text(value)
    return Broken(f"is {kind_of(value)}, not text")


def _need_columns(columns: Counter[str], source: "Source", *, key: str, where: str) -> None:
    """One fault for a column that no row has, in place of one for each row."""
    if not columns:
        return
    wanted = [("prompt_column", source.prompt_column), ("answer_column", source.answer_column)]
    if source.id_column not in (None, "id"):
        wanted.append(("id_column", source.id_column))
    faults = []
    for option, name in wanted:
        if name in columns:
            continue
        aliases = ALIASES.get(option.removesuffix("_column"), ())
        near = next((alias for alias in aliases if alias in columns), "NAME")
        faults.append(f"{where}: no row has {name!r}, only {', '.join(columns)}; write {key}.{option}={near}")
    if faults:
        raise UserError("\n".join(faults))
