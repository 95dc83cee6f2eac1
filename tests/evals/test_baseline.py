"""The verb `baseline`: its grid of prompts and decodings, and what it says of each."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import baseline, jobs
from rlvr_sweep.evals.baseline import Decoding, decoding
from rlvr_sweep.evals.jobs import compose
from rlvr_sweep.evals.store import Store
from tests.evals.stores import process


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    return [f"runs={tmp_path}", "eval=lab", "eval.benchmarks.add.count=6"]


def test_prompts_by_decodings(lines, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(lambda prompt, sample: prompt.gold if sample == 0 else None))
    words = ["--templates", "chat,raw", "--decoding", "greedy,0.6@4", "--json"]
    assert baseline.main(["model=lab/qwen,lab/olmo", *lines, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["prompt"], one["decoding"]) for one in found[:6]] == [
        (prompt, how) for prompt in ("chat", "raw", "chat + prefix") for how in ("greedy", "T 0.6 avg@4")
    ]
    assert len(found) == 12
    assert {one["decoding"]: one["accuracy"]["mean"] for one in found} == {"greedy": 1.0, "T 0.6 avg@4": 0.25}
    assert {one["decoding"]: one["boxed_rate"] for one in found} == {"greedy": 1.0, "T 0.6 avg@4": 0.25}
    made = [Store(path).job for path in (tmp_path / "_samples").iterdir()]
    assert {job.cell.model.prefix for job in made} == {None, baseline.PYTHON}
    assert {job.benchmark.temperature for job in made} == {0.0, 0.6}


def test_the_table_names_each_prompt(lines, monkeypatch, capsys) -> None:
    monkeypatch.setattr(jobs, "_process", process(lambda prompt, sample: prompt.gold))
    assert baseline.main(["model=lab/olmo", *lines, "--templates", "raw", "--decoding", "greedy"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("add, lab/olmo: 6 questions")
    assert "raw" in out and "chat + prefix" in out and baseline.PYTHON in out


def test_a_template_takes_its_own_stop_string() -> None:
    [composed] = compose(["model=llama3.1_8b", "eval=none", "algo=spurious_rewards"])
    made = baseline.prompts(composed.cell, templates=["r1", "raw"], prefix="")
    assert made["r1"].model.stop == ["</answer>"] and made["raw"].model.stop == []


def test_answers_are_read_where_the_prompt_wants_them() -> None:
    """Behind a template of tags in tags, also where the cell's own is another; boxes behind the others."""
    [boxed], [tagged], [authors] = (
        compose(["model=qwen2.5_7b", "eval=math500", *more])
        for more in (
            ["algo=rlvr_decomposed"],
            ["algo=rlvr_decomposed", "model.template=r1", "eval.benchmarks.math500.extraction=tagged"],
            ["algo=spurious_rewards"],
        )
    )
    for composed in (boxed, tagged):
        made = {name: job for _, name, _, job in baseline._jobs(composed, _args(["chat_boxed", "think_answer"]))}
        assert {name: job.benchmark.extraction for name, job in made.items()} == {
            "chat_boxed": "boxed",
            "think_answer": "tagged",
        }
    [*_, (_, _, _, job)] = baseline._jobs(authors, _args(["think_answer"]))
    assert job.benchmark.extraction == "boxed"  # that grader looks for answers by itself


def _args(templates: list[str]) -> Namespace:
    return Namespace(templates=templates, prefix="", decoding=[Decoding(0.0, 1)], max_tokens=None)


def test_another_models_template_is_refused(lines) -> None:
    with pytest.raises(UserError, match=r"--templates r1: is not for lab/qwen"):
        baseline.main(["model=lab/qwen", *lines, "--templates", "r1"])


def test_decodings_as_written() -> None:
    assert decoding("greedy") == Decoding(0.0, 1) and decoding("0.6@8") == Decoding(0.6, 8)
    for wrong in ("0.6", "0@4", "x@4", "0.6@0", "-1@2", "nan@2"):
        with pytest.raises(Exception, match="write greedy, or TEMPERATURE@SAMPLES"):
            decoding(wrong)


def test_a_prefix_that_a_run_would_refuse_is_refused(lines) -> None:
    with pytest.raises(UserError, match=r"^model.prefix: 'So ' ends with a blank"):
        baseline.main(["model=lab/qwen", *lines, "--prefix", "So "])
