"""Label files: attached by id and prompt, audited against gold, and those of other data refused."""

import json

import pytest

from rlvr_sweep.data.labels import attach
from rlvr_sweep.data.rows import Row
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading.verdict import Verdict

ROWS = [Row(id=str(i), prompt=f"{i}+{i}?", answer=str(2 * i)) for i in range(6)]


def verify(pairs):
    """Exact comparison; "?" cannot be judged. An empty label would be right by it, as by a careless grader."""
    return [Verdict(None if label == "?" else label in ("", gold), "equal") for gold, label in pairs]


def write(path, labels):
    path.write_text("\n".join(map(json.dumps, labels)))
    return path


def released(ids_labels):
    """The released form: the id is a number and the label is called answer."""
    return [{"id": i, "prompt": f"{i}+{i}?", "answer": label, "source": "mv"} for i, label in ids_labels]


def test_the_released_form_is_read_and_audited(tmp_path):
    path = write(tmp_path / "l.jsonl", released([(0, "0"), (1, "3"), (2, ""), (3, "?"), (64, "5")]))
    rows, audit = attach(ROWS, path, filter="all", verify=verify)
    assert [(row.id, row.label) for row in rows] == [("0", "0"), ("1", "3"), ("3", "?")]
    assert audit == {
        "rows": 6,
        "labelled": 3,
        "unlabelled": 2,
        "empties": 1,
        "elsewhere": 1,
        "correct": 1,
        "wrong": 1,
        "unscorable": 1,
        "label_accuracy": 0.5,
        "kept": 3,
        "matched_by": "id and prompt",
    }


def test_incorrect_keeps_only_what_is_known_to_be_wrong(tmp_path):
    path = write(tmp_path / "l.jsonl", released([(0, "0"), (1, "3"), (2, ""), (3, "?")]))
    assert [row.id for row in attach(ROWS, path, filter="incorrect", verify=verify)[0]] == ["1"]
    kept, audit = attach(ROWS, path, filter="incorrect", verify=verify, drop_empty=False)
    assert [(row.id, row.label) for row in kept] == [("1", "3"), ("2", "")]
    assert (audit["wrong"], audit["unscorable"], audit["label_accuracy"]) == (2, 1, 1 / 3)  # an empty one is wrong


def test_plain_labels_are_matched_by_id_where_one_side_holds_the_other(tmp_path):
    part = write(tmp_path / "part.jsonl", [{"id": str(i), "label": "1"} for i in (1, 2)])
    assert attach(ROWS, part, filter="all", verify=verify)[1]["matched_by"] == "id"
    more = write(tmp_path / "more.jsonl", [{"id": str(i), "label": "1"} for i in range(9)])
    assert attach(ROWS, more, filter="all", verify=verify)[1]["elsewhere"] == 3
    other = write(tmp_path / "other.jsonl", [{"id": str(i), "label": "1"} for i in range(4, 9)])
    with pytest.raises(UserError, match="3 of its 5 ids are not in data, and 4 of 6 rows have no label"):
        attach(ROWS, other, filter="all", verify=verify)


def test_a_file_of_other_data_is_refused_though_its_ids_are_the_same(tmp_path):
    labels = [{"id": i, "prompt": f"another {i}", "answer": "1", "source": "deepscaler_mv"} for i in range(3)]
    with pytest.raises(UserError) as caught:
        attach(ROWS, write(tmp_path / "l.jsonl", labels), filter="all", verify=verify)
    text = str(caught.value)
    assert "3 have another prompt" in text and "deepscaler_mv" in text and len(text.splitlines()) == 1


def test_rows_whose_ids_are_hashes_are_matched_by_prompt(tmp_path):
    rows = [Row(id=f"hash{row.id}", prompt=row.prompt, answer=row.answer) for row in ROWS]
    path = write(tmp_path / "l.jsonl", released([(2, "4"), (5, "9")]))
    labelled, audit = attach(rows, path, filter="all", verify=verify)
    assert [(row.id, row.label) for row in labelled] == [("hash2", "4"), ("hash5", "9")]
    assert audit["matched_by"] == "prompt" and audit["label_accuracy"] == 0.5


def test_faulty_lines_are_listed_together(tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text('{"id": 1, "label": "2"}\n{broken\n{"label": "2"}\n{"id": 3}\n{"id": 1, "label": "5"}\n')
    with pytest.raises(UserError) as caught:
        attach(ROWS, path, filter="all", verify=verify)
    for fault in ("line 2: broken JSON", "line 3: id is missing", "line 4: label is missing", "line 5: id '1' is also"):
        assert fault in str(caught.value)


def test_no_row_left_is_refused(tmp_path):
    right = write(tmp_path / "right.jsonl", released([(0, "0")]))
    with pytest.raises(UserError, match="no label of this data is wrong"):
        attach(ROWS, right, filter="incorrect", verify=verify)
    empty = write(tmp_path / "empty.jsonl", released([(0, "")]))
    with pytest.raises(UserError, match="all its labels are empty"):
        attach(ROWS, empty, filter="all", verify=verify)
