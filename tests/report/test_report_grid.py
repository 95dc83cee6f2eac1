"""The table of several cells: seeds together, what failed named, arms told apart."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rlvr_sweep.evals import statistics
from rlvr_sweep.report.grid import grid, grid_rows
from rlvr_sweep.report.record import Record
from rlvr_sweep.shown import as_json
from tests.report.cells import cell


def printed(paths: list[Path], *, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False).print(grid(paths), crop=False)
    return out.getvalue()


def test_seeds_of_an_arm_are_one_row(tmp_path: Path) -> None:
    paths = [cell(tmp_path, seed=seed, reward=reward) for reward in ("ground_truth", "random") for seed in (2, 0, 1)]
    rows = grid_rows(paths)
    assert [(r["reward"], r["seeds"], r["not_done"]) for r in rows] == [
        ("ground_truth", [0, 1, 2], []),
        ("random", [0, 1, 2], []),
    ]
    those = [Record(path) for path in paths[:3]]
    before = [row for record in those for row in record.eval_rows("add", 0)]
    after = [row for record in those for row in record.eval_rows("add", 20)]
    assert rows[0]["accuracy_change"] == statistics.paired_difference(before=before, after=after)
    assert rows[0]["accuracy_change"].n_seeds == 3
    assert json.loads(as_json(rows))[1]["code_after"]["n_samples"] == 240


def test_only_what_is_done_counts_and_the_rest_is_named(tmp_path: Path) -> None:
    paths = [
        cell(tmp_path, seed=0),
        cell(tmp_path, seed=1, state="failed", trained=10, reason="OutOfMemoryError: no room"),
        cell(tmp_path, seed=2, state="running", trained=3),
        cell(tmp_path, seed=0, reward="python", state="pending", trained=0),
    ]
    rows = grid_rows(paths)
    assert rows[0]["seeds"] == [0] and rows[0]["accuracy_after"].n_seeds == 1
    assert [(one["seed"], one["state"]) for one in rows[0]["not_done"]] == [(1, "failed"), (2, "running")]
    assert rows[1]["seeds"] == [] and rows[1]["accuracy_after"] is None
    for width in (60, 80, 140):
        text = printed(paths, width=width)
        assert "failed (OutOfMemoryError: no room)" in " ".join(text.split())
        assert "not done: 3 of these cells" in text and "with 1 seed" in text


@pytest.mark.parametrize("width", [80, 160])
def test_every_number_is_there_at_any_width(tmp_path: Path, width: int) -> None:
    models = ["lab/qwen_math", "lab/qwen", "lab/llama", "lab/olmo"]
    paths = [cell(tmp_path, model=m, reward=r, seed=s, after=0.5) for m in models for r in ("a", "b") for s in (0, 1)]
    text = printed(paths, width=width)
    assert max(map(len, text.splitlines())) <= width
    for row in grid_rows(paths):
        change = row["accuracy_change"]
        for said in (row["model"], row["row"], f"{100 * change.mean:+.1f} [{100 * change.low:+.1f}, "):
            assert said in text


def test_arms_that_differ_elsewhere_are_told_apart(tmp_path: Path) -> None:
    paths = [cell(tmp_path, learning_rate=rate, seed=seed) for rate in (1e-4, 1e-3) for seed in (0, 1)]
    assert [row["row"] for row in grid_rows(paths)] == [
        "lab/add / ground_truth, algo.learning_rate=0.0001",
        "lab/add / ground_truth, algo.learning_rate=0.001",
    ]


def test_a_choice_says_more_than_its_keys(tmp_path: Path) -> None:
    paths = [cell(tmp_path, name="slow", learning_rate=1e-6, beta=1), cell(tmp_path, name="lab", beta=2)]
    assert [row["row"] for row in grid_rows(paths)] == [
        "lab/add / ground_truth, algo=slow",
        "lab/add / ground_truth, algo=lab",
    ]


def test_folders_of_the_same_name_are_told_apart_by_content(tmp_path: Path) -> None:
    paths = [cell(tmp_path / name) for name in ("a", "b")]
    for path, content in zip(paths, ("1" * 64, "2" * 64), strict=True):
        document = json.loads((path / "cell.json").read_text())
        document["identity"]["content"] = {"model": content}
        document["arm_id"] = document["cell_id"] = content[:12]
        (path / "cell.json").write_text(json.dumps(document))
    rows = grid_rows(paths)
    assert [row["model"] for row in rows] == ["lab/qwen, content.model=11111111", "lab/qwen, content.model=22222222"]
    assert rows[0]["row"] == rows[1]["row"]


def test_one_cell_given_twice_counts_once(tmp_path: Path) -> None:
    path = cell(tmp_path)
    assert grid_rows([path, path])[0]["seeds"] == [0]


def test_without_benchmarks(tmp_path: Path) -> None:
    path = cell(tmp_path, benchmarks=())
    assert grid_rows([path])[0]["benchmark"] is None
    assert "no benchmark" in printed([path], width=80)
