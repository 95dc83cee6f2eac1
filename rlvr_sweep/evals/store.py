"""Completions of models that nobody has trained: runs/_samples/<name>--<id>/, shared by label, align, probe, baseline.

    store = Store.create(job); store.missing(samples=64); store.add(rows); store.rows(columns=["prompt_id", "correct"])

job.json says what is sampled, prompts.jsonl lists its prompts, part-*.parquet hold whole batches of evaluation rows
(evals/rows.py), each there as a whole or not at all. The id is the job's (evals/job.py).
"""

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rlvr_sweep.cell_dir import write_atomically
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job, Prompt

FOLDER = "_samples"


class Share(NamedTuple):
    """What one of several processes samples of a store: of all that was missing when they began, every `of`-th from
    `index`. `since`: the first number that no part had then."""

    index: int
    of: int
    since: int


class Store:
    """The rows of one job. `path`: runs/_samples/<slug>--<id>/. With a `share`, those who share it out hold the lock,
    only the share is missing, and no other process adds parts of the same numbers."""

    def __init__(self, path: Path, share: Share | None = None) -> None:
        self.path, self.share = Path(path), share
        try:
            self.document: dict[str, Any] = json.loads((self.path / "job.json").read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / 'job.json'}: cannot be read ({error}); delete the folder") from None

    @classmethod
    def create(cls, job: Job) -> "Store":
        """Make (or open) the store of a job. UserError where nothing can be written there."""
        root, job_id = Path(job.cell.runs) / FOLDER, job.id
        path = next(root.glob(f"*--{job_id}"), root / f"{job.slug}--{job_id}")
        document = {
            "id": job_id,
            "kind": job.kind,
            "percent": job.percent,
            "identity": job.identity,
            "hashes": job.hashes,
            "cell": job.cell.model_dump(mode="json"),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / "job.json", json.dumps(document, indent=1) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{path}: cannot be written ({reason}); write runs=DIR with a folder of yours") from None
        return cls(path)

    @property
    def job(self) -> Job:
        from rlvr_sweep.config.schema import Cell

        cell = Cell.model_validate(self.document["cell"])
        return Job(self.document["kind"], cell, self.document["hashes"], self.document["percent"])

    @property
    def id(self) -> str:
        return self.document["id"]

    def write_prompts(self, prompts: Sequence[Prompt], *, skipped: int) -> None:
        """What this job samples, in order; `skipped`: rows that are too long. Before the first part."""
        from dataclasses import asdict

        lines = [json.dumps({"prompts": len(prompts), "skipped": skipped})]
        lines += [json.dumps(asdict(prompt), ensure_ascii=False) for prompt in prompts]
        write_atomically(self.path / "prompts.jsonl", "\n".join(lines) + "\n")

    @property
    def is_begun(self) -> bool:
        return (self.path / "prompts.jsonl").is_file()

    def prompts(self) -> list[Prompt]:
        """The job's prompts, in order."""
        return [Prompt(**line) for line in self._lines()[1:]]

    @property
    def skipped(self) -> int:
        """Rows of the source that are too long to be sampled."""
        return self._lines()[0]["skipped"]

    def _lines(self) -> list[dict[str, Any]]:
        with (self.path / "prompts.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def parts(self) -> list[Path]:
        return sorted(self.path.glob("part-*.parquet"))

    def rows(self, *, samples: int | None = None, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows so far, in the order of prompts and samples; of each prompt its first `samples`, and only these
        columns (prompt_id, question_id and sample always). UserError: a part that is damaged, or of another version."""
        from rlvr_sweep.evals.rows import SCHEMA

        wanted = (
            SCHEMA.names if columns is None else list(dict.fromkeys(["prompt_id", "question_id", "sample", *columns]))
        )
        order = {prompt.id: number for number, prompt in enumerate(self.prompts())} if self.is_begun else {}
        found = [row for part in self.parts() for row in _read(part, wanted)]
        if samples is not None:
            found = [row for row in found if row["sample"] < samples]
        return sorted(found, key=lambda row: (order[row["prompt_id"]], row["sample"]))

    def missing(self, *, samples: int) -> list[tuple[int, int]] | None:
        """(number of the prompt, number of the sample) of what is not there yet; None: not even the prompts are."""
        if not self.is_begun:
            return None
        share = self.share or Share(0, 1, self.next_part())
        old = [part for part in self.parts() if _number(part) < share.since]
        there = {(row["prompt_id"], row["sample"]) for part in old for row in _read(part, ["prompt_id", "sample"])}
        prompts = [prompt.id for prompt in self.prompts()]
        found = [(p, s) for p, name in enumerate(prompts) for s in range(samples) if (name, s) not in there]
        return found[share.index :: share.of]

    def next_part(self) -> int:
        """The first number above those of all parts."""
        return max(map(_number, self.parts()), default=-1) + 1

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """One batch more, as a part of its own. Under the lock."""
        from rlvr_sweep.evals.rows import write

        number = self.next_part()
        if self.share is not None:  # a sibling may write the next one at this moment
            index, of, since = self.share
            own = [n for n in map(_number, self.parts()) if n >= since and (n - since) % of == index]
            number = max(own) + of if own else since + index
        write(self.path / f"part-{number:06d}.parquet", rows)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store while sampling; the system frees it when the holder dies. UserError where another does."""
        if self.share is not None:
            yield
            return
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                who = file.read().strip() or "another process"
                raise UserError(f"{self.path}: is being sampled by {who}; wait for it, or stop it first") from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield


def _number(part: Path) -> int:
    return int(part.stem.partition("-")[2])


def _read(part: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a part; a column that came after it was written is null, as in evals/rows.py."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rlvr_sweep.evals.rows import SCHEMA

    try:
        with pq.ParquetFile(part) as parquet:
            there = [name for name in columns if name in parquet.schema_arrow.names]
            rows = parquet.read(columns=there).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{part}: cannot be read ({line}); delete it, and the same command samples it again") from None
    absent = [name for name in columns if name not in there]
    if any(not SCHEMA.field(name).nullable for name in absent):
        raise UserError(f"{part}: made by another version; delete {part.parent} and run the command again")
    return [row | dict.fromkeys(absent) for row in rows] if absent else rows


def content_id(ids: Sequence[str]) -> str:
    """One id for several stores, for what is drawn of them together."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:12]
