"""Writes a cell's metrics.jsonl (a pure function of the cell), timings.jsonl (seconds) and rollouts/part-*.parquet.

    recorder = Recorder(cell_dir); recorder.resume_at(step=12, rollout=3); recorder.step({...}, {...})

Times have a file of their own, so that the metrics of a killed and resumed run equal the undisturbed run's byte for
byte. After a resume every step and every rollout is there once: what lies beyond the checkpoint is cut off and written
again.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.rows import is_sound

FILES = ("metrics.jsonl", "timings.jsonl")


def _line(row: dict[str, Any]) -> str:
    clean = {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in row.items()}
    return json.dumps(clean, allow_nan=False) + "\n"


def _cut(path: Path, last_step: int) -> None:
    """Keep the lines up to and with `last_step`; what lies beyond, a torn line too, is written again. UserError where a
    line is damaged or missing."""
    kept: list[str] = []
    lines = path.read_text(errors="replace").splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            raise _lost(f"{path}, line {number}: damaged", path.parent) from None
        if step > last_step:
            break
        kept.append(line)
    if len(kept) != last_step:
        raise _lost(f"{path}: has {len(kept)} of the {last_step} steps before its checkpoint", path.parent)
    partial = path.with_suffix(".tmp")
    partial.write_text("".join(kept))
    os.replace(partial, path)


def _lost(what: str, folder: Path) -> UserError:
    return UserError(f"{what}, and no checkpoint holds it; move {folder} away and run it again")


class Recorder:
    """The files of one cell directory that grow while it trains. Only rank 0 has one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "rollouts").mkdir(exist_ok=True)

    def resume_at(self, *, step: int, rollout: int) -> None:
        """Forget what a former attempt wrote beyond its checkpoint (optimizer step, last generated rollout)."""
        for name in FILES:
            _cut(self.path / name, step)
        for part in sorted((self.path / "rollouts").glob("part-*.parquet")):
            if int(part.stem.split("-")[1]) > rollout:
                part.unlink()
            else:
                is_sound(part)  # or it is set aside, and its completions are lost

    def step(self, metrics: dict[str, Any], timings: dict[str, Any]) -> None:
        """One optimizer step: both rows hold `step` and `rollout`."""
        for name, row in zip(FILES, (metrics, timings), strict=True):
            with (self.path / name).open("a") as file:
                file.write(_line(row))

    def rollout(self, number: int, rows: list[dict[str, Any]]) -> None:
        """One rollout's completions, written once and atomically."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / "rollouts" / f"part-{number:05d}.parquet"
        partial = path.with_suffix(".tmp")
        with partial.open("wb") as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=rollout_schema()), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def sync(self) -> None:
        """What was written so far is on the disk: a checkpoint must not outlive the lines before it."""
        for name in FILES:
            with (self.path / name).open("rb") as file:
                os.fsync(file.fileno())


def rollout_schema() -> Any:
    """The pyarrow schema of rollouts/part-*.parquet (a row: metrics.row)."""
    import pyarrow as pa

    text, flag, number = pa.string(), pa.bool_(), pa.float64()
    return pa.schema(
        [
            ("rollout", pa.int32()),
            ("step", pa.int32()),
            ("row_id", text),
            ("slot", pa.int32()),
            ("prompt", text),
            ("text", text),
            ("answer", text),
            ("tokens", pa.int32()),
            ("truncated", flag),
            ("has_code", flag),
            ("boxed", flag),
            ("repeats", flag),
            ("reward", number),
            ("unscorable", text),
            ("advantage", number),
            ("correct", flag),
            ("reason", text),
            ("correct_math_verify", flag),
            ("correct_authors", flag),
            ("gold", text),
            ("label", text),
            ("label_correct", flag),
            ("majority_correct", flag),
            ("majority_ratio", number),
            ("trained", pa.int32()),
            ("generation_batch", pa.int32()),
        ]
    )
