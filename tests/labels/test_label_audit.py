"""What label files are worth: the released ones as the paper's data has them, and one of our own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlvr_sweep.labels.audit import Judged, audit
from rlvr_sweep.labels.audit_command import main

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "labels"
# The one label of Qwen2.5-Math-7B that the release calls wrong: 8th group 22 + 3 * 5 = 37, and 40 * 50% = 20.
WRONG_ID, ITS_GOLD = 3456, "37, 20"


def test_counts() -> None:
    found = audit(
        [
            Judged("5", True, votes=3, samples=4),
            Judged("6", False, votes=1, samples=4),
            Judged("7", None),
            Judged("", False, votes=0, samples=4),
            Judged("", None),
        ]
    )
    assert (found.labels, found.empty, found.correct, found.wrong, found.unknown) == (5, 2, 1, 2, 2)
    assert found.label_accuracy == pytest.approx(1 / 3)  # an empty label is wrong
    assert found.majority_ratio == pytest.approx(0.5) and found.overlap == pytest.approx(0.5)  # and trains nothing
    nothing = audit([])
    assert (nothing.label_accuracy, nothing.majority_ratio, nothing.overlap) == (None, None, None)


def released(name: str) -> Path:
    path = RELEASED / f"majority_{name}_100.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there: this test reads the released label files")
    return path


@pytest.fixture
def golds(tmp_path: Path) -> Path:
    """The gold answers of the released files' first hundred prompts. They are not among the data here; but of
    Qwen2.5-Math-7B's labels the release calls all right but one, by its own grader."""
    rows = [json.loads(line) for line in released("qwen2.5_math_7b").read_text().splitlines()]
    path = tmp_path / "gold.jsonl"
    lines = [row | {"answer": ITS_GOLD if row["id"] == WRONG_ID else row["answer"]} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def audits(words: Sequence[str], capsys: Any) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "right", "empty", "overlap"),
    [("qwen2.5_math_7b", 99, 0, 0.01), ("qwen2.5_1.5b", 47, 0, 0.53), ("olmo_2_1124_7b", 1, 24, 75 / 76)],
)
def test_the_released_labels(name: str, right: int, empty: int, overlap: float, golds: Path, capsys: Any) -> None:
    """spurious_rewards, section 1.3: by both graders, and by the release's own files of wrong labels."""
    words = [str(released(name)), "--incorrect", str(released(f"{name}_incorrect"))]
    found = audits([*words, "data=jsonl", f"data.path={golds}"], capsys)
    assert (found["labels"], found["empty"]) == (100, empty)
    assert set(found["audits"]) == {"authors", "math_verify", "incorrect_file"}
    for one in found["audits"].values():
        assert (one["correct"], one["wrong"]) == (right, 100 - right)
        assert one["overlap"] == pytest.approx(overlap)


def test_the_labels_of_an_instructed_model_by_the_release_alone(capsys: Any) -> None:
    name = "olmo_2_1124_7b_sft"
    found = audits([str(released(name)), "--incorrect", str(released(f"{name}_incorrect"))], capsys)
    assert found["empty"] == 33 and found["audits"]["incorrect_file"]["correct"] == 26


def test_the_released_labels_that_the_data_here_has_gold_answers_of(capsys: Any) -> None:
    """Matched by prompt: the release numbers its rows in its own way."""
    data = RELEASED.parent / "math" / "deepscaler_level1_2000.jsonl"
    words = [str(released("olmo_2_1124_7b_sft")), "data=jsonl", f"data.path={data}"]
    for one in audits(words, capsys)["audits"].values():
        assert (one["correct"], one["wrong"], one["unknown"]) == (12, 20, 68)


def test_without_gold_answers_it_says_what_it_needs(capsys: Any) -> None:
    assert main([str(released("olmo_2_1124_7b"))]) == 0
    out = capsys.readouterr().out
    assert "100 labels, 24 empty, no provenance" in out and "write data=..." in out


def test_gold_answers_in_the_file_count(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "labels.jsonl"
    lines = [
        {"id": 1, "label": "5.0", "gold": "5", "votes": 3, "samples": 4},
        {"id": 2, "label": "", "gold": "7", "votes": 0, "samples": 4},
        {"id": 3, "label": "8"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = audits([str(path)], capsys)["audits"]["math_verify"]
    assert (found["correct"], found["wrong"], found["unknown"], found["majority_ratio"]) == (1, 1, 1, 0.75)
