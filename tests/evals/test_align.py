"""The verb `align`, over samples made by a rule: the estimates, what it prints, and what it asks the models for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import align, jobs
from tests.evals import stores
from tests.evals.stores import process


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    counts = [f"eval.benchmarks.{task}.count=6" for task in ("add", "sub", "mul")]
    return [f"runs={tmp_path}", "eval=lab_tasks", *counts]


def right(prompt, sample):
    """Sample 0 is right for addition, sample 3 for subtraction, none for multiplication."""
    wanted = {"add": 0, "sub": 3}.get(prompt.id.split("-")[0])
    return prompt.gold if sample == wanted else None


def test_pass_at_k_by_task_and_model(lines, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(right))
    assert align.main(["model=lab/qwen,lab/olmo", *lines, "-n", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["task"], one["model"]) for one in found][:2] == [("add", "lab/qwen"), ("add", "lab/olmo")]
    assert len(found) == 6
    means = {one["task"]: {k: e["mean"] for k, e in one["pass_at_k"].items()} for one in found}
    assert means["add"] == means["sub"] == {"1": 0.25, "2": 0.5, "4": 1.0}  # one of four is right
    assert means["mul"] == {"1": 0.0, "2": 0.0, "4": 0.0}
    assert found[0]["temperature"] == 1.0 and found[0]["questions"] == 6


def test_more_samples_go_on_from_those_there(lines, monkeypatch, capsys) -> None:
    asked = []

    def run(words):
        asked.append([word.partition(":")[0] for word in words])
        return process(right)(words)

    monkeypatch.setattr(jobs, "_process", run)
    for n in ("2", "4", "4", "2"):
        assert align.main(["model=lab/qwen", *lines, "-n", n]) == 0
    assert asked == [["2"] * 3, ["4"] * 3]  # the last two commands ask for nothing
    assert "pass@2" in capsys.readouterr().out


def test_the_table_and_the_picture(lines, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(right))
    picture = tmp_path / "a" / "align.png"
    assert align.main(["model=lab/qwen", *lines, "-n", "4", "--figure", str(picture)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["task", "model", "pass@1", "pass@2", "pass@4"]
    assert "6 questions, 4 samples each, temperature 1, at most 64 tokens" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_seeds_are_put_together(lines, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(right))
    assert align.main(["model=lab/qwen", "seed=0,1", *lines, "-n", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["pass_at_k"]["1"]["n_seeds"] for one in found] == [2, 2, 2]


def test_a_job_that_could_not_be_done_has_no_row_and_spoils_no_other(lines, monkeypatch, capsys) -> None:
    def run(words):
        process(right)([word for word in words if "-sub-" not in word])
        return 2

    monkeypatch.setattr(jobs, "_process", run)
    assert align.main(["model=lab/qwen", *lines, "-n", "2", "--json"]) == 2
    assert [one["task"] for one in json.loads(capsys.readouterr().out)] == ["add", "mul"]


def test_faults_of_the_command_come_before_any_sampling(lines) -> None:
    with pytest.raises(UserError, match="unknown choice"):
        align.main(["model=lab/quen", *lines])
    with pytest.raises(UserError, match="has no benchmark"):
        align.main(["eval=none"])
    with pytest.raises(UserError, match="not key=value"):
        align.main(["lab/qwen"])
    with pytest.raises(UserError, match="hydra/launcher=slurm: this verb samples here"):
        align.main(["hydra/launcher=slurm", *lines])


@pytest.mark.parametrize("words", ["--temperature -1", "--temperature nan", "--top-p 0", "--top-p 2", "-n 0"])
def test_a_number_out_of_range_is_one_line(words: str, lines, tmp_path, capsys) -> None:
    with pytest.raises(UserError, match=r"^align: argument -.*; see python -m rlvr_sweep align --help$") as caught:
        align.main([*lines, *words.split()])
    assert "write " in str(caught.value) and capsys.readouterr().err == ""
    assert not list(tmp_path.glob("**/job.json"))


def test_questions_that_a_large_k_leaves_out_are_told(lines, monkeypatch, capsys) -> None:
    real = stores.row

    def row(prompt, sample, answer, **more):
        lost = prompt.id.startswith("sub") and sample == 1
        return real(prompt, sample, answer, **more) | ({"correct": None} if lost else {})

    monkeypatch.setattr(stores, "row", row)
    monkeypatch.setattr(jobs, "_process", process(right))
    assert align.main(["model=lab/qwen", *lines, "-n", "2"]) == 0
    out = capsys.readouterr().out
    assert "6 completions could not be judged" in out
    assert "sub, lab/qwen: pass@2 is of 0 of 6 questions, those with 2 completions that were judged" in out
    assert "add, lab/qwen: pass@2 is" not in out


def test_answers_that_nobody_looks_for_are_told(lines, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(right))
    tagged = ["model.templates=[think_answer]", "model.template=think_answer", "eval.benchmarks.add.extraction=tagged"]
    assert align.main(["model=lab/qwen", *lines, *tagged, "-n", "1"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0].endswith("; eval.benchmarks.sub.extraction=tagged reads them")


def test_ks_are_powers_of_two() -> None:
    assert align.ks(1) == [1] and align.ks(256)[-1] == 256 and align.ks(100) == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("module", ["evals.align", "evals.probe", "evals.baseline", "labels.commands"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys\nfrom rlvr_sweep.{module} import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pyarrow', 'pydantic', 'hydra', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "key=value" in done.stdout
