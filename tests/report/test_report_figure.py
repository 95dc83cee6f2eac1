"""The picture of a cell: it is a PNG, it shows what is there, it is drawn again only when it is old."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.report.arms import told_update
from rlvr_sweep.report.figure import figure, is_fresh
from rlvr_sweep.report.record import Record
from tests.report.cells import cell

PNG = b"\x89PNG\r\n\x1a\n"


def test_draws_a_png(tmp_path: Path) -> None:
    record = Record(cell(tmp_path, benchmarks=("add", "math500")))
    path = figure(record, tmp_path / "figure.png")
    data = path.read_bytes()
    assert data.startswith(PNG) and len(data) > 10_000
    assert [p.name for p in tmp_path.iterdir() if ".tmp" in p.name] == []


def test_the_record_decides_the_picture(tmp_path: Path) -> None:
    drawn = [
        figure(Record(cell(tmp_path / name, **made)), tmp_path / f"{name}.png").read_bytes()  # pyright: ignore[reportArgumentType]
        for name, made in {"a": {}, "again": {}, "b": {"after": 0.9}, "c": {"reward_scale": 3.0}}.items()
    ]
    assert drawn[0] == drawn[1]
    assert len({*drawn}) == 3


def test_arms_that_differ_in_the_update_alone_are_told_apart(tmp_path: Path) -> None:
    arms = {
        "clip=on, estimator=grpo": {},
        "clip=on (0.2, 0.28, dual 10), estimator=grpo": {
            "clip": {"epsilon_low": 0.2, "epsilon_high": 0.28, "dual": 10.0}
        },
        "clip=off_epsilon, estimator=grpo": {"clip": {"name": "off_epsilon", "match": "updates"}},
        "clip=off_large_batch (match=rollouts), estimator=grpo": {
            "clip": {"name": "off_large_batch", "match": "rollouts"}
        },
        "clip=on, estimator=nsr (advantage=nsr, scale=none)": {
            "estimator": {"name": "nsr", "advantage": "nsr", "loss": "dapo", "scale": "none", "kl": 0.0}
        },
        "clip=on, estimator=grpo (whiten=True, std_epsilon=1e-09)": {
            "estimator": {"whiten": True, "std_epsilon": 1e-9}
        },
    }
    records = [Record(cell(tmp_path / str(number), **arm)) for number, arm in enumerate(arms.values())]
    assert [told_update(record) for record in records] == list(arms)
    pictures = {figure(record, tmp_path / "figure.png").read_bytes() for record in records}
    assert len(pictures) == len(arms) and len({record.slug for record in records}) == 1


@pytest.mark.parametrize("made", [{"trained": 0, "every": 0}, {"trained": 1}, {"benchmarks": ()}])
def test_draws_what_there_is(tmp_path: Path, made: dict) -> None:
    record = Record(cell(tmp_path, state="running", **made))
    assert figure(record, tmp_path / "figure.png").read_bytes().startswith(PNG)


def test_fresh_until_the_record_grows(tmp_path: Path) -> None:
    record = Record(cell(tmp_path))
    path = tmp_path / "figure.png"
    assert not is_fresh(record, path)
    figure(record, path)
    assert is_fresh(record, path)
    later = time.time() + 5
    os.utime(record.path / "evals" / "add" / "step-000020.parquet", (later, later))
    assert not is_fresh(record, path)


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    record = Record(cell(tmp_path))
    with pytest.raises(UserError, match=r"nowhere/figure\.png: cannot be written"):
        figure(record, tmp_path / "nowhere" / "figure.png")


def test_importing_the_room_brings_no_matplotlib_nor_torch() -> None:
    code = (
        "import sys; import rlvr_sweep.report.commands, rlvr_sweep.report.figure, rlvr_sweep.report.grid\n"
        "heavy = {'matplotlib', 'torch', 'trl', 'pyarrow', 'numpy', 'wandb'}\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
