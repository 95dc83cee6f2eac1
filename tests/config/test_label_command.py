"""The command that a missing label file is answered with makes labels that fit the cell."""

import shlex
from pathlib import Path

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.config.label_command import FIELDS, command
from rlvr_sweep.config.schema import Cell


def cell(*lines: str) -> Cell:
    return compose_or_refuse([*lines], multirun=False)[0].cell


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        ((), ""),
        (("data.repeat=true", "data.count=64", "data.ids=[add-36-51]", "seed=3", "algo.rollouts=1"), ""),
        (("data.count=600",), "data.count=600"),
        (("data.count=null",), "data.count=null"),
        (("data.split=test", "data.name=mine"), "data.name=mine data.split=test"),
        (("data=puzzle/lab", "data.difficulty=5"), "data.difficulty=5"),
        (("model.template=raw",), "model.template=raw"),
        (("model.stop=['}','x']", "model.prefix='```python'"), None),
        (("algo.extraction=lenient", "grading.grader=authors"), "algo.extraction=lenient grading.grader=authors"),
    ],
)
def test_it_says_what_the_labels_rest_on(lines: tuple[str, ...], changes: str | None) -> None:
    wanted = cell(*lines)
    words = shlex.split(command(wanted))
    choices = [f"{group}={wanted.choices[group]}" for group in ("model", "data", "algo")]
    assert words[:7] == ["python", "-m", "rlvr_sweep", "label", *choices]
    if changes is not None:
        assert set(words[7:]) == set(changes.split())
    made = cell(*words[4:])
    for group, keys in FIELDS.items():
        for key in keys:
            if key != "count":
                assert getattr(getattr(made, group), key) == getattr(getattr(wanted, group), key)
    assert made.data.count is None or made.data.count >= (wanted.data.count or 0)
    assert made.grading.grader == wanted.grading.grader


def test_another_place_is_said() -> None:
    assert command(cell(), out="here.jsonl").endswith("--out here.jsonl")
    assert "--out" not in command(cell(), out="labels/lab/qwen_math/lab/add.jsonl")


def test_empty_labels_that_are_trained_on_are_kept() -> None:
    kept = cell().data.model_copy(update={"empty_labels": "keep"})
    assert command(cell().model_copy(update={"data": kept})).endswith("--empty keep")


def test_a_cell_as_the_authors_ran_it_wants_labels_as_they_made_them(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"id": "a", "label": "1"}\n')
    own = ["algo=spurious_rewards", "data=deepscaler", f"data.labels={tmp_path / 'labels.jsonl'}", "model=llama3.1_8b"]
    kept = cell(*own, "reward=majority_offline", "eval=none")
    assert kept.data.empty_labels == "keep"
    words = "python -m rlvr_sweep label model=llama3.1_8b data=deepscaler algo=spurious_rewards --authors"
    assert command(kept) == words
    assert cell(*own[:2], own[3], "eval=none").data.empty_labels == "drop"  # there are none


def test_a_choice_of_ones_own_is_taken_as_it_is() -> None:
    own = cell().model_copy(update={"choices": cell().choices | {"data": "mine"}})
    assert shlex.split(command(own))[4:] == ["model=lab/qwen_math", "data=mine", "algo=lab"]
