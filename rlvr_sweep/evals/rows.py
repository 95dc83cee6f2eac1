"""The rows of an evaluation: one a sampled completion, one parquet file a benchmark and step, whole or not there.

rows.write(rows.path(cell_dir, "math500", 300), found)
rows.read(cell_dir, "math500", step=300)      # the same list of dicts; without a step, all steps in order
rows.steps(cell_dir, "math500")               # [0, 100, 200, 300]
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr_sweep.errors import UserError

SCHEMA = pa.schema(
    [
        pa.field("cell_id", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),  # optimizer step of the policy; 0: before training
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("prompt_id", pa.string(), nullable=False),  # a row of the benchmark
        pa.field("question_id", pa.string(), nullable=False),  # what is independent: variants of a question share it
        pa.field("sample", pa.int64(), nullable=False),  # 0 to n - 1
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("gold", pa.string(), nullable=False),  # so that rows can be graded again without the benchmark
        pa.field("answer", pa.string()),  # null: none was given
        pa.field("correct", pa.bool_()),  # null: it cannot be known, `reason` says why
        pa.field("reason", pa.string()),
        pa.field("correct_strict", pa.bool_()),
        pa.field("correct_lenient", pa.bool_()),
        pa.field("correct_math_verify", pa.bool_()),  # both graders, whichever `correct` goes by; null where the task
        pa.field("correct_authors", pa.bool_()),  # is no maths, or the row was written before there were two
        pa.field("has_code", pa.bool_(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
    ]
)
_NAME = re.compile(r"step-(\d{6,})\.parquet")


def path(cell_dir: Path, benchmark: str, step: int) -> Path:
    """Where the rows of one benchmark at one step lie."""
    return Path(cell_dir) / "evals" / benchmark / f"step-{step:06d}.parquet"


def _checked(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows, or ValueError: pyarrow itself fills a missing key with null in silence."""
    found = list(rows)
    for number, row in enumerate(found):
        missing = [name for name in SCHEMA.names if name not in row]
        if missing:
            raise ValueError(f"evaluation row {number} lacks {', '.join(missing)}")
        empty = [field.name for field in SCHEMA if not field.nullable and row[field.name] is None]
        if empty:
            raise ValueError(f"evaluation row {number}: null in {', '.join(empty)}")
    copies = Counter((row["prompt_id"], row["sample"], row["seed"]) for row in found)
    twice = [key for key, count in copies.items() if count > 1]
    if twice:
        raise ValueError(f"evaluation rows: prompt {twice[0][0]!r} has sample {twice[0][1]} more than once")
    return found


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one step's rows; readers see all of them or no file. Keys of a row that are no column are not kept.

    ValueError for a missing key, a null where none may be, a sample given twice.
    """
    path = Path(path)
    table = pa.Table.from_pylist(_checked(rows), schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def is_sound(path: Path) -> bool:
    """Whether a parquet file is there and whole: its end is written last. One that is not is set aside, and named."""
    if not path.is_file():
        return False
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        aside = path.with_name(f"damaged-{path.name}")
        with suppress(FileNotFoundError):  # another rank was quicker
            os.replace(path, aside)
        print(f"rlvr_sweep: {path}: damaged; set aside as {aside.name}", flush=True)
        return False
    return True


def steps(cell_dir: Path, benchmark: str) -> list[int]:
    """The optimizer steps this benchmark was run at, in order."""
    names = (_NAME.fullmatch(file.name) for file in path(cell_dir, benchmark, 0).parent.glob("step-*.parquet"))
    return sorted(int(name[1]) for name in names if name)


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(file) as parquet:  # not read_table, to which a folder named a=b is a column
            table = parquet.read()
    except pa.ArrowInvalid as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{file}: not a parquet file ({line}); delete it and run the cell again") from None
    there = set(table.column_names)
    absent = [field for field in SCHEMA if field.nullable and field.name not in there]
    for field in absent:  # a column that came later: what an older version did not look at is not known
        table = table.append_column(field, pa.nulls(len(table), field.type))
    odd = sorted(set(SCHEMA.names) ^ set(table.column_names))
    if not odd:
        table = table.select(SCHEMA.names)
    if not table.schema.equals(SCHEMA):
        what = f"other columns ({', '.join(odd)})" if odd else "columns of other types"
        raise UserError(f"{file}: {what} than this version reads; run the cell again with this version")
    return table.to_pylist()


def read(cell_dir: Path, benchmark: str, step: int | None = None) -> list[dict[str, Any]]:
    """The rows of one step, or of all steps in order. UserError where there is no such step, or the file is damaged."""
    there = steps(cell_dir, benchmark)
    if step is not None and step not in there:
        known = ", ".join(map(str, there)) or "none"
        raise UserError(f"{path(cell_dir, benchmark, step)}: no such evaluation; the steps there are: {known}")
    return [row for one in (there if step is None else [step]) for row in _read(path(cell_dir, benchmark, one))]
