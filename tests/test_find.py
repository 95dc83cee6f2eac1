"""Cells are found by whatever a user types; a folder is listed once, however many cells a sweep names in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_sweep import find as module
from rlvr_sweep.errors import UserError
from rlvr_sweep.find import find, find_all
from tests.report.cells import cell


def test_find_by_path_name_id_and_part(tmp_path: Path) -> None:
    made = [cell(tmp_path, seed=seed, model=model) for seed in (0, 1) for model in ("lab/qwen", "lab/qwen_math")]
    target = made[3]
    identifier = target.name.rpartition("--")[2]
    for ref in (str(target), target.name, identifier, identifier[:5], "qwen_math-lab-add-ground_truth-s1"):
        assert find(ref, tmp_path) == target


def test_find_names_what_is_near(tmp_path: Path) -> None:
    names = [cell(tmp_path, seed=seed).name for seed in range(7)]
    with pytest.raises(UserError, match=r"7 cells match: .* and 2 more"):
        find("qwen", tmp_path)
    with pytest.raises(UserError, match=r"no such cell .* nearest: ") as caught:
        find(names[0].replace("ground", "grond"), tmp_path)
    assert names[0] in str(caught.value)
    with pytest.raises(UserError, match="there is no cell"):
        find("x", tmp_path / "nothing")


def test_find_all_takes_folders_and_sweeps(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = [cell(runs, seed=seed) for seed in range(3)]
    sweep = runs / "_sweeps" / "first"
    sweep.mkdir(parents=True)
    ids = [path.name.rpartition("--")[2] for path in made[:2]]
    (sweep / "manifest.jsonl").write_text("".join(json.dumps({"cell_id": i}) + "\n" for i in [*ids, "f" * 12]))
    assert find_all([str(runs)], runs) == (sorted(made), [])
    assert find_all(["first"], runs) == (made[:2], ["f" * 12])
    assert find_all([str(sweep)], tmp_path) == (made[:2], ["f" * 12])
    assert find_all([str(p) for p in runs.iterdir()], runs)[1] == []  # what the shell makes of runs/*
    assert find_all([made[0].name, ids[0]], runs) == ([made[0]], [])


def test_a_sweep_costs_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [cell(tmp_path, seed=seed) for seed in range(4)]
    _sweep(tmp_path, "pilot", [path.name.rpartition("--")[2] for path in made])
    listings = []
    real = module.index
    monkeypatch.setattr(module, "index", lambda runs: listings.append(runs) or real(runs))
    monkeypatch.setattr(Path, "glob", None)
    assert find_all(["pilot"], tmp_path) == (made, [])
    assert listings == [tmp_path]


def test_a_typo_in_a_sweeps_name_is_offered_the_sweep(tmp_path: Path) -> None:
    _sweep(tmp_path, "pilot", [cell(tmp_path).name.rpartition("--")[2]])
    with pytest.raises(UserError, match=r"no such cell or sweep .* nearest: pilot"):
        find_all(["pilott"], tmp_path)


def test_finding_is_light() -> None:
    code = (
        "import sys, rlvr_sweep.find\n"
        "print({m.split('.')[0] for m in sys.modules} & {'pydantic', 'hydra', 'omegaconf', 'torch', 'rich'})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def _sweep(runs: Path, name: str, ids: list[str]) -> None:
    folder = runs / "_sweeps" / name
    folder.mkdir(parents=True)
    (folder / "manifest.jsonl").write_text("".join(json.dumps({"cell_id": i}) + "\n" for i in ids))
