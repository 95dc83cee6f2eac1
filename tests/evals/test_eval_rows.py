"""Evaluation rows: what is written is read, whole or not at all, and a wrong row is refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.evals import rows

FACTS = {
    "cell_id": "0123456789ab",
    "step": 0,
    "benchmark": "add",
    "prompt_id": "q1",
    "question_id": "q1",
    "sample": 0,
    "temperature": 0.6,
    "text": r"so \boxed{5}, 答案",
    "gold": "5",
    "answer": "5",
    "correct": True,
    "reason": "equal",
    "correct_strict": None,
    "correct_lenient": False,
    "correct_math_verify": True,
    "correct_authors": None,
    "has_code": False,
    "truncated": False,
    "tokens": 7,
    "seed": 3,
}
NO_ANSWER = FACTS | {"sample": 1, "answer": None, "correct": None, "reason": "timeout"}


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    for step in (200, 0, 1_000_000):
        rows.write(rows.path(tmp_path, "add", step), [FACTS | {"step": step}, NO_ANSWER | {"step": step}])
    assert rows.steps(tmp_path, "add") == [0, 200, 1_000_000]
    assert rows.read(tmp_path, "add", step=0) == [FACTS, NO_ANSWER]
    assert [row["step"] for row in rows.read(tmp_path, "add")] == [0, 0, 200, 200, 1_000_000, 1_000_000]
    assert rows.path(tmp_path, "add", 200) == tmp_path / "evals/add/step-000200.parquet"


def test_the_columns_are_those_of_the_record() -> None:
    assert rows.SCHEMA.names == list(FACTS)


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows.write(tmp_path / name, [FACTS, NO_ANSWER])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    rows.write(rows.path(tmp_path / "lr=1", "add", 0), [FACTS])
    assert rows.read(tmp_path / "lr=1", "add", step=0) == [FACTS]


def test_further_keys_are_not_kept(tmp_path: Path) -> None:
    rows.write(rows.path(tmp_path, "add", 0), [FACTS | {"note": "mine"}])
    assert rows.read(tmp_path, "add") == [FACTS]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([{key: value for key, value in FACTS.items() if key != "seed"}], "row 0 lacks seed"),
        ([FACTS, FACTS | {"sample": 1, "text": None}], "row 1: null in text"),
        ([FACTS, FACTS], "'q1' has sample 0 more than once"),
    ],
)
def test_a_wrong_row_is_refused_and_leaves_nothing(tmp_path: Path, found: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rows.write(tmp_path / "step-000000.parquet", found)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows.path(tmp_path, "add", 0)
    rows.write(path, [FACTS])

    def full(table: object, file, **options: object) -> None:
        file.write(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        rows.write(path, [FACTS, NO_ANSWER])
    assert list(path.parent.iterdir()) == [path]
    assert rows.read(tmp_path, "add") == [FACTS]


def test_a_file_from_before_a_nullable_column_is_read_with_null(tmp_path: Path) -> None:
    path = rows.path(tmp_path, "add", 0)
    rows.write(path, [FACTS, NO_ANSWER])
    whole = pq.read_table(path)
    pq.write_table(whole.drop_columns(["correct_authors", "correct_math_verify"]), path)
    assert rows.read(tmp_path, "add") == [row | {"correct_math_verify": None} for row in (FACTS, NO_ANSWER)]
    pq.write_table(whole.drop_columns(["seed"]), path)
    with pytest.raises(UserError, match=r"other columns \(seed\) than this version reads"):
        rows.read(tmp_path, "add")
    pq.write_table(whole.append_column("later", pa.nulls(2, pa.bool_())), path)
    with pytest.raises(UserError, match=r"other columns \(later\)"):
        rows.read(tmp_path, "add")


def test_what_is_not_there_or_damaged_is_one_line(tmp_path: Path) -> None:
    assert rows.steps(tmp_path, "add") == []
    assert rows.read(tmp_path, "add") == []
    path = rows.path(tmp_path, "add", 4)
    rows.write(path, [FACTS | {"step": 4}])
    with pytest.raises(UserError, match=r"step-000003.parquet: no such evaluation; the steps there are: 4$"):
        rows.read(tmp_path, "add", step=3)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"step-000004.parquet: not a parquet file \(.*\); delete it"):
        rows.read(tmp_path, "add", step=4)
    pq.write_table(pa.table({"cell_id": ["a"]}), path)
    with pytest.raises(UserError, match="other columns"):
        rows.read(tmp_path, "add", step=4)
