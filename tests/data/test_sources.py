"""Files and lab tasks as rows: what is read, and every fault of a file in one error."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlvr_sweep.config.schema import Data, Source
from rlvr_sweep.data.sources import load
from rlvr_sweep.errors import UserError

GOOD = [
    {"id": "a", "prompt": "1+1?", "answer": "2", "level": 3},
    {"id": "b", "prompt": "2+2?", "answer": "4", "level": 1},
]


def source(path, **more):
    return Source(kind="file", path=str(path), **more)


def write_jsonl(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def refusal(wanted, key="data"):
    with pytest.raises(UserError) as caught:
        load(wanted, key=key)
    return str(caught.value)


def test_the_three_formats_give_the_same_rows_and_hash(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", GOOD)
    (tmp_path / "x.json").write_text(json.dumps(GOOD))
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "x.parquet")
    write_jsonl(tmp_path / "lines.json", GOOD)  # the Hub's .json files are often JSON lines
    loaded = [load(source(tmp_path / name), key="data") for name in ("x.jsonl", "x.json", "x.parquet", "lines.json")]
    assert all(rows.rows == loaded[0].rows and rows.sha256 == loaded[0].sha256 for rows in loaded)
    first = loaded[0].rows[0]
    assert (first.id, first.prompt, first.answer, first.columns) == ("a", "1+1?", "2", {"level": 3})


def test_columns_are_mapped_and_numbers_become_text(tmp_path):
    rows = [{"n": 7, "problem": "1+1?", "solution": 2}, {"n": 8, "problem": "half?", "solution": 0.5}]
    pq.write_table(
        pa.Table.from_pylist([{**row, "solution": float(row["solution"])} for row in rows]), tmp_path / "x.parquet"
    )
    write_jsonl(tmp_path / "x.jsonl", rows)
    mapped = {"prompt_column": "problem", "answer_column": "solution", "id_column": "n"}
    assert [(r.id, r.answer) for r in load(source(tmp_path / "x.jsonl", **mapped), key="data").rows] == [
        ("7", "2"),
        ("8", "0.5"),
    ]
    assert [r.answer for r in load(source(tmp_path / "x.parquet", **mapped), key="data").rows] == ["2.0", "0.5"]


def test_without_ids_a_row_keeps_its_id_wherever_it_stands(tmp_path):
    one = [{"prompt": p, "answer": "1"} for p in ("x?", "y?", "x?")]
    two = [{"prompt": p, "answer": "1"} for p in ("z?", "x?", "y?")]
    first = [r.id for r in load(source(write_jsonl(tmp_path / "1.jsonl", one)), key="data").rows]
    second = [r.id for r in load(source(write_jsonl(tmp_path / "2.jsonl", two)), key="data").rows]
    assert first[:2] == second[1:]
    assert len(set(first)) == 3 and first[2] == f"{first[0]}-2"


def test_all_faults_of_a_file_come_at_once_with_their_lines(tmp_path):
    rows = [
        GOOD[0],
        "{broken",
        {"id": "c", "answer": "1"},
        "",
        {"id": "d", "prompt": "  ", "answer": None},
        {"id": "a", "prompt": "again?", "answer": "1"},
        {"id": "e", "prompt": ["x"], "answer": True},
        {"prompt": "x?", "answer": float("nan")},
        "[1]",
        {"id": "f", "prompt": "\ud800", "answer": "1"},
    ]
    text = refusal(source(write_jsonl(tmp_path / "x.jsonl", rows)))
    for fault in (
        "line 2: broken JSON",
        "line 3: prompt is missing",
        "line 5: prompt is empty",
        "line 5: answer is missing",
        "line 6: id 'a' is also that of line 1",
        "line 7: prompt is a list",
        "line 7: answer is true or false",
        "line 8: answer is missing",
        "line 8: id is missing",
        "line 9: is a list",
        "data.id_column=null",
        "and 1 more faults",
    ):
        assert fault in text, fault
    assert len(text.splitlines()) == 11


def test_a_line_that_is_not_utf8_is_a_fault(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"prompt": "caf\xe9", "answer": "1"}\n')
    assert "line 1: not UTF-8" in refusal(source(tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("x.jsonl", b"", "holds no rows"),
        ("x.json", b"[]", "holds no rows"),
        ("x.json", b'{"data": []}', "holds an object; write a list"),
        ("x.json", b'[{"prompt": "a?",\n]', "line 2: broken JSON"),
        ("x.parquet", b"no parquet", "not a parquet file"),
        ("x.csv", b"a,b", "has the ending '.csv'; write a file that ends in .jsonl"),
        ("x.jsonl", b'{"problem": "a?", "answer": "1"}', "write data.prompt_column=problem"),
    ],
)
def test_a_file_of_no_use_is_one_line(tmp_path, name, body, expected):
    (tmp_path / name).write_bytes(body)
    text = refusal(source(tmp_path / name))
    assert expected in text and len(text.splitlines()) == 1


def test_a_missing_file_names_the_nearest_one(tmp_path):
    write_jsonl(tmp_path / "math500.jsonl", GOOD)
    write_jsonl(tmp_path / "aime.jsonl", GOOD)
    assert f"no such file; write {tmp_path}/math500.jsonl" in refusal(source(tmp_path / "math50.jsonl"))
    assert "no folder" in refusal(source(tmp_path / "none" / "x.jsonl"))


def test_count_takes_the_first_rows_and_no_more_than_there_are(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", GOOD)
    assert [r.id for r in load(source(path, count=1), key="data").rows] == ["a"]
    assert "write data.count=2" in refusal(source(path, count=3))


def test_ids_pick_rows_in_their_order_and_unknown_ones_name_the_nearest(tmp_path):
    path = str(write_jsonl(tmp_path / "x.jsonl", GOOD))

    def chosen(*ids):
        return Data.model_validate({"kind": "file", "path": path, "name": "x", "ids": ids})

    assert [r.id for r in load(chosen("b", "a"), key="data").rows] == ["b", "a"]
    text = refusal(chosen("bb", "a", "a"))
    assert "no row 'bb'" in text and "nearest are b" in text and "'a' comes twice" in text


def test_lab_rows_differ_by_split_and_a_wrong_split_is_refused():
    def lab(**more):
        return Source.model_validate({"kind": "lab", "task": "add", "split": "test"} | more)

    train, test = load(lab(split="train", count=50), key="data"), load(lab(), key="eval.benchmarks.add")
    assert len(train.rows) == 50 and not {r.id for r in train.rows} & {r.id for r in test.rows}
    assert "write eval.benchmarks.add.split=train" in refusal(lab(split=None), key="eval.benchmarks.add")
    assert "did you mean 'add'" in refusal(lab(task="ad"))
    assert f"write data.count={len(test.rows)}" in refusal(lab(count=10**6))
