"""The store of samples: what is the same job, what is missing, and what a damaged part costs."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals.job import Job, Prompt
from rlvr_sweep.evals.jobs import benchmark_job, compose, with_model
from rlvr_sweep.evals.store import Share, Store
from rlvr_sweep.find import find_all
from tests.evals.stores import process, row

PROMPTS = [Prompt("a", "a", "1+1?", "2"), Prompt("b", "b", "2+2?", "4")]


def job(tmp_path: Path, *lines: str, **sampling: Any) -> Job:
    [composed] = compose([f"runs={tmp_path}", "eval.benchmarks.add.count=4", *lines])
    return benchmark_job(composed, "add", **({"samples": 4, "temperature": 1.0} | sampling))


def store(tmp_path: Path) -> Store:
    made = Store.create(job(tmp_path))
    made.write_prompts(PROMPTS, skipped=0)
    return made


def test_the_id_is_of_all_that_changes_a_sample_and_of_nothing_else(tmp_path: Path) -> None:
    base = job(tmp_path)
    same = [
        job(tmp_path, samples=64),
        job(tmp_path, "reward=python"),
        job(tmp_path, "algo.learning_rate=1e-5"),
        job(tmp_path, "eval.batch=3"),
        job(tmp_path / "elsewhere"),
    ]
    assert {one.id for one in same} == {base.id}
    template = with_model(base.cell, template="raw")
    other = [
        job(tmp_path, "model=lab/olmo"),
        job(tmp_path, "seed=1"),
        job(tmp_path, "eval.benchmarks.add.count=5"),
        job(tmp_path, "eval.benchmarks.add.task=sub"),
        job(tmp_path, temperature=0.5),
        job(tmp_path, top_p=0.5),
        job(tmp_path, max_completion_tokens=8),
        job(tmp_path, "grading.grader=authors"),
        job(tmp_path, "eval.benchmarks.add.extraction=lenient"),
        job(tmp_path, percent=40),
        job(tmp_path, percent=60),
        Job("benchmark", template, base.hashes),
    ]
    assert len({one.id for one in [base, *other]}) == len(other) + 1


def test_a_store_opens_again_with_its_job(tmp_path: Path) -> None:
    made = job(tmp_path, percent=40)
    again = Store(Store.create(made).path)
    assert again.job == made and again.id == made.id


def test_what_is_missing_shrinks_with_each_batch_and_grows_with_the_samples_wanted(tmp_path: Path) -> None:
    fresh = Store.create(job(tmp_path))
    assert fresh.missing(samples=2) is None
    made = store(tmp_path)
    assert made.missing(samples=2) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    made.add([row(PROMPTS[1], 0, "4"), row(PROMPTS[0], 1, "3")])
    assert made.missing(samples=2) == [(0, 0), (1, 1)]
    made.add([row(PROMPTS[0], 0, "2"), row(PROMPTS[1], 1, None)])
    assert made.missing(samples=2) == []
    assert made.missing(samples=3) == [(0, 2), (1, 2)]
    found = [(r["prompt_id"], r["sample"], r["answer"]) for r in made.rows(columns=["answer"])]
    assert found == [("a", 0, "2"), ("a", 1, "3"), ("b", 0, "4"), ("b", 1, None)]
    assert [r["sample"] for r in made.rows(samples=1)] == [0, 0]


def test_a_damaged_part_is_named_and_only_its_rows_are_lost(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.add([row(PROMPTS[0], 0, "2")])
    made.add([row(PROMPTS[1], 0, "4")])
    part = made.parts()[1]
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{part.name}: cannot be read"):
        made.missing(samples=1)
    part.unlink()
    assert made.missing(samples=1) == [(1, 0)]


def test_two_processes_do_not_sample_one_store(tmp_path: Path) -> None:
    made = store(tmp_path)
    with made.lock(), pytest.raises(UserError, match="is being sampled by process"), Store(made.path).lock():
        pass
    with made.lock():
        pass


def test_samples_are_no_cell_to_show(tmp_path: Path) -> None:
    Store.create(job(tmp_path))
    assert find_all([str(tmp_path / "_samples")], tmp_path) == ([], [])


def test_the_stand_in_of_these_tests_writes_what_readers_take(tmp_path: Path) -> None:
    made = Store.create(job(tmp_path))
    process(lambda prompt, sample: prompt.gold)([f"3:{made.path}"])
    assert made.missing(samples=3) == [] and len(made.rows()) == 12
    assert json.loads((made.path / "prompts.jsonl").read_text().splitlines()[0]) == {"prompts": 4, "skipped": 0}


def test_several_share_what_is_missing_and_add_parts_of_their_own(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.add([row(PROMPTS[0], 0, "2")])
    made.add([row(PROMPTS[1], 2, "4")])
    one, two = (Store(made.path, Share(index, 2, made.next_part())) for index in range(2))
    assert one.missing(samples=3) == [(0, 1), (1, 0)]
    one.add([row(PROMPTS[0], 1, "2")])
    one.add([row(PROMPTS[1], 0, "4")])
    assert two.missing(samples=3) == [(0, 2), (1, 1)]  # of what there was when they began, whoever was quicker
    two.add([row(PROMPTS[0], 2, "2")])
    assert [part.stem for part in made.parts()] == [f"part-00000{number}" for number in (0, 1, 2, 3, 4)]
    assert made.missing(samples=3) == [(1, 1)]  # the second has died; what it lacks is shared out anew
    one, two = (Store(made.path, Share(index, 2, made.next_part())) for index in range(2))
    assert one.missing(samples=3) == [(1, 1)] and two.missing(samples=3) == []
    with made.lock(), one.lock(), two.lock():
        one.add([row(PROMPTS[1], 1, "4")])
    assert made.missing(samples=3) == []
