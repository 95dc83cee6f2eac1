"""The verb `label`, over samples made by a rule: what it writes, keeps, refuses, and says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.data.labels import read_labels
from rlvr_sweep.data.provenance import read
from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import jobs
from rlvr_sweep.evals.job import Prompt
from rlvr_sweep.evals.store import Store
from rlvr_sweep.labels import commands
from tests.evals.stores import process

Label = Callable[..., list[dict[str, Any]]]
COUNT = 6


def answer(prompt: Prompt, sample: int) -> str | None:
    """By the number of the prompt: 0 and 1 are voted right, 2 and 3 wrong, 4 never answered, 5 never right. Of the four
    samples, the even ones hold python (tests/evals/stores.py)."""
    wrong = str(int(prompt.gold) + 1)
    spelled = f"{prompt.gold}.0"
    return {
        0: [prompt.gold] * 4,
        1: [wrong, prompt.gold, spelled, spelled],
        2: [wrong, wrong, prompt.gold, wrong],
        3: [wrong, prompt.gold, wrong, None],
        4: [None] * 4,
        5: ["-1", "-2", "-2", "-3"],
    }[ORDER.index(prompt.id)][sample]


ORDER: list[str] = []


@pytest.fixture
def label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Label:
    def rule(prompt: Prompt, sample: int) -> str | None:
        if prompt.id not in ORDER:
            ORDER.append(prompt.id)
        return answer(prompt, sample)

    ORDER.clear()
    monkeypatch.setattr(jobs, "_process", process(rule))

    def run(*words: str, out: str = "labels.jsonl") -> list[dict[str, Any]]:
        path = tmp_path / out
        lines = ["model=lab/olmo", f"data.count={COUNT}", f"runs={tmp_path}", "-n", "4", "--out", str(path)]
        assert commands.main([*lines, *words]) == 0
        return [json.loads(line) for line in path.read_text().splitlines()]

    return run


def labels(lines: list[dict[str, Any]]) -> dict[int, str]:
    """Each label, relative to its gold answer, by the number of its prompt."""
    signs = {}
    for line in lines:
        number, gold, text = ORDER.index(line["id"]), line["gold"], line["label"]
        signs[number] = {gold: "right", f"{gold}.0": "right", str(int(gold) + 1): "wrong"}.get(text, text)
    return signs


def test_the_majority_by_equivalence_without_empty_labels(label: Label, capsys: Any) -> None:
    lines = label()
    assert labels(lines) == {0: "right", 1: "right", 2: "wrong", 3: "wrong", 5: "-2"}
    assert {key: lines[1][key] for key in ("votes", "answered", "samples", "correct", "right", "code")} == {
        "votes": 3,
        "answered": 4,
        "samples": 4,
        "correct": True,
        "right": 1,  # of the samples, by the rule of tests/evals/stores.py
        "code": 0.5,
    }
    out = capsys.readouterr().out
    assert "prompts of which no sample holds an answer: 1" in out
    assert "left out without a label: 1" in out
    assert "right by math-verify: 2/5 (40.0%), 0 empty; incorrect is 60.0% of the majority signal" in out
    assert "the label is the answer of 70.0% of a prompt's samples" in out  # (4 + 3 + 3 + 2 + 2) / 20


def test_exact_strings_split_what_is_equal(label: Label) -> None:
    lines = label("--vote", "exact", "--empty", "keep")
    assert [line["votes"] for line in lines if line["id"] == ORDER[1]] == [2]  # the gold answer, as 57.0
    assert labels(lines)[4] == ""
    assert next(line for line in lines if line["id"] == ORDER[4])["correct"] is False


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--filter", "correct"], {0, 1}),
        (["--filter", "incorrect"], {2, 3, 5}),
        (["--filter", "incorrect", "--empty", "keep"], {2, 3, 4, 5}),
        (["--filter", "never_correct"], {5}),
        (["--filter", "never_correct", "--empty", "keep"], {4, 5}),
        (["--filter", "code", "--code-share", "0.5"], {0, 1, 2, 3, 5}),
        (["--pick", "2"], {1, 2, 3, 5}),
        (["--pick", "least"], {0, 1, 2, 3, 5}),
    ],
)
def test_filters_and_ranks(label: Label, words: list[str], kept: set[int]) -> None:
    assert set(labels(label(*words))) == kept


def test_the_second_most_common_and_the_least(label: Label) -> None:
    assert labels(label("--pick", "2"))[2] == "right"
    assert labels(label("--pick", "least", out="least.jsonl"))[0] == "right"


def test_shuffled_gold_answers_ask_no_model(label: Label, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jobs, "_process", lambda words: pytest.fail("a model was sampled"))
    lines = label("--pick", "shuffled")
    golds = [line["gold"] for line in lines]
    found = [line["label"] for line in lines]
    assert sorted(found) == sorted(golds) and found != golds
    made = read(tmp_path / "labels.jsonl")
    assert made is not None and made.model is None and made.vote["pick"] == "shuffled"


def test_nothing_left_and_nothing_answered_are_refused(label: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no prompt is left of 6 by --filter code"):
        label("--filter", "code", "--code-share", "0.4")
    monkeypatch.setattr(jobs, "_process", process(lambda prompt, sample: None))
    with pytest.raises(UserError, match=r"none of 24 samples holds an answer .* write algo.extraction=lenient"):
        label("seed=1")


def test_the_file_says_where_it_came_from(label: Label, tmp_path: Path) -> None:
    label()
    made = read(tmp_path / "labels.jsonl")
    assert made is not None and made.model is not None and made.sampling is not None
    assert (made.model["name"], made.model["family"], len(made.model["sha256"])) == ("lab/olmo", "olmo", 64)
    assert (made.data["name"], made.data["rows"], made.data["verifier"]) == ("lab/add", COUNT, "math")
    assert (made.sampling["samples"], made.sampling["temperature"], made.sampling["max_tokens"]) == (4, 1.0, 64)
    assert (made.extractor["extraction"], made.vote["how"]) == ("boxed", "equivalence")
    assert made.command.startswith("python -m rlvr_sweep label model=lab/olmo")
    assert [one.samples for one in read_labels(tmp_path / "labels.jsonl")] == [4] * 5


def test_as_the_authors_did(label: Label, tmp_path: Path, capsys: Any) -> None:
    lines = label("--authors", "model.stop=['=']", "model.prefix=So", "model.template=chat")
    assert "--authors: samples end at 64 tokens by algo=lab" in capsys.readouterr().err
    assert labels(lines)[4] == "" and len(lines) == COUNT
    [folder] = (tmp_path / "_samples").iterdir()
    model = Store(folder).job.cell.model
    assert (model.template, model.prefix, model.stop, model.stop_tokens) == ("raw", None, [], [])
    made = read(tmp_path / "labels.jsonl")
    assert made is not None and made.model is not None
    assert (made.vote["how"], made.vote["empty"], made.extractor["grader"]) == ("exact", "keep", "authors")


def test_a_file_is_written_once(label: Label, tmp_path: Path) -> None:
    first = label()
    stamp = (tmp_path / "labels.jsonl").stat().st_mtime_ns
    assert label() == first and (tmp_path / "labels.jsonl").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="is there and holds other labels"):
        label("--pick", "2")
    (tmp_path / "theirs.jsonl").write_text('{"id": 1, "label": "2"}\n')
    with pytest.raises(UserError, match="was not made by this verb"):
        label(out="theirs.jsonl")
    with pytest.raises(UserError, match=r"ends in .jsonl"):
        label(out="labels.json")


def test_a_command_that_is_not_whole_is_refused(label: Label) -> None:
    with pytest.raises(UserError, match="--filter code: needs --code-share"):
        label("--filter", "code")
    with pytest.raises(UserError, match="these are 2; write one of each"):
        label("seed=0,1")


def test_a_training_command_makes_its_own_labels(label: Label) -> None:
    assert len(label("reward=incorrect", "data.labels=not-there-yet.jsonl")) == 5
