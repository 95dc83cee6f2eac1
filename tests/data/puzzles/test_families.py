"""What every family of puzzles promises: distinct, reproducible, disjoint splits, gold answers that are right."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr_sweep.config.schema import Source
from rlvr_sweep.data import puzzles
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading import rules

ROOT = Path(__file__).resolve().parents[3]
DIGEST = (
    "import hashlib, json; from rlvr_sweep.data import puzzles; "
    "print(hashlib.sha256(json.dumps([puzzles.rows(n, difficulty=2, split='train', count=1000) for n in puzzles.NAMES])"
    ".encode()).hexdigest())"
)


def test_a_thousand_problems_are_distinct_and_the_same_in_every_process() -> None:
    found = [puzzles.rows(name, difficulty=2, split="train", count=1000) for name in puzzles.NAMES]
    for rows in found:
        assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == 1000
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    other = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, check=True, text=True)
    assert other.stdout.strip() == hashlib.sha256(json.dumps(found).encode()).hexdigest()


@pytest.mark.parametrize("name", puzzles.NAMES)
def test_train_and_test_share_no_question(name: str) -> None:
    asked = {
        (split, seed): {r["prompt"] for r in puzzles.rows(name, difficulty=1, split=split, count=200, seed=seed)}
        for split in ("train", "test")
        for seed in (0, 1)
    }
    train, test = (asked[split, 0] | asked[split, 1] for split in ("train", "test"))
    assert not train & test
    assert asked["train", 0] != asked["train", 1]


@pytest.mark.parametrize("name", puzzles.NAMES)
def test_a_smaller_count_is_a_prefix(name: str) -> None:
    assert puzzles.rows(name, difficulty=1, split="test", count=40)[:10] == puzzles.rows(
        name, difficulty=1, split="test", count=10
    )


@pytest.mark.parametrize("name", puzzles.NAMES)
def test_gold_answers_are_right_at_every_difficulty_and_others_wrong(name: str) -> None:
    family = puzzles.find_family(name)
    for difficulty in range(1, family.levels + 1):
        problems = [family.problem(index, difficulty) for index in range(30)]
        for row in problems:
            assert family.verify(row.answer, row).correct is True
            assert family.verify("no idea", row) == (False, "wrong_form")
        pairs = itertools.pairwise(problems)
        assert not any(family.verify(other.answer, row).correct for row, other in pairs if other.answer != row.answer)


@pytest.mark.parametrize("name", puzzles.NAMES)
def test_the_difficulty_changes_the_size(name: str) -> None:
    family = puzzles.find_family(name)
    sizes = [{family.problem(i, d).columns["size"] for i in range(5)} for d in range(1, family.levels + 1)]
    assert all(len(size) == 1 for size in sizes)
    assert sizes == sorted(sizes, key=min) and min(sizes[0]) < min(sizes[-1])


def test_the_verifiers_and_the_choices_are_those_of_the_families() -> None:
    assert {f"puzzle/{name}" for name in puzzles.NAMES} == {n for n in rules.NAMES if n.startswith("puzzle/")}
    for name in puzzles.NAMES:
        assert rules.find(f"puzzle/{name}") is puzzles.find_family(name).judge
        assert (ROOT / "conf" / "data" / "puzzle" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", puzzles.NAMES)
def test_terse_prompts_fit_a_lab_model(name: str) -> None:
    from transformers import AutoTokenizer

    from rlvr_sweep.lab.families import model_dir

    tokenizer = AutoTokenizer.from_pretrained(model_dir("qwen"))
    for row in puzzles.rows(name, difficulty=1, split="train", count=50, wording="terse"):
        ids = tokenizer(row["prompt"])["input_ids"]
        assert len(ids) <= 60 and tokenizer.decode(ids) == row["prompt"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task": "cypher"}, "data: no puzzle family 'cypher': did you mean cipher"),
        ({"task": None}, "data.task: missing"),
        ({"difficulty": 12}, "has difficulties 1 to 9; write a difficulty of 9"),
        ({"difficulty": None}, "data.difficulty: missing"),
        ({"split": "dev"}, "write data.split=train"),
        ({"count": None}, "data.count: missing"),
        ({"task": "sign", "count": 9000}, "rows found, not 9000; write a count of"),
    ],
)
def test_a_mistake_is_told_in_one_line(wrong: dict, said: str) -> None:
    source = {"kind": "puzzle", "task": "cipher", "difficulty": 3, "split": "train", "count": 10} | wrong
    with pytest.raises(UserError) as caught:
        load(Source.model_validate(source), key="data")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_source_of_puzzles_has_its_own_verifier() -> None:
    source = {"kind": "puzzle", "task": "cipher", "difficulty": 1, "split": "train", "count": 3}
    assert Source.model_validate(source).verifier == "puzzle/cipher"
    assert Source.model_validate(source | {"verifier": "math"}).verifier == "math"
    with pytest.raises(ValueError, match="did you mean puzzle/cipher"):
        Source.model_validate(source | {"verifier": "puzzle/cifer"})
    rows = load(Source.model_validate(source), key="data")
    assert rows.facts["difficulty"] == 1 and rows.rows[0].columns["family"] == "cipher"
