"""Which files of a Hub dataset are a split."""

import pytest

from rlvr_sweep.data.splits import choose
from rlvr_sweep.errors import UserError

GSM = {
    "configs": [
        {
            "config_name": "main",
            "data_files": [{"split": "train", "path": "main/train-*"}, {"split": "test", "path": "main/test-*"}],
        }
    ]
}


def files(names, card=None, *, config=None, split=None):
    return choose(names, card or {}, config=config, split=split, key="data", hub="o/d")


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (["README.md", "deepscaler.json"], "train", ["deepscaler.json"]),
        (["test.jsonl", ".gitattributes"], "test", ["test.jsonl"]),
        (["data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet", "data/hard-00000-of-00001.parquet"],
         "train", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        (["data/hard-00000-of-00001.parquet"], "hard", ["data/hard-00000-of-00001.parquet"]),
        (["train/0.jsonl", "test/0.jsonl", "test/train.jsonl"], "test", ["test/0.jsonl", "test/train.jsonl"]),
        (["my_train.json", "contest.json"], "train", ["my_train.json"]),
        (["train.jsonl", "train.parquet", "dataset_infos.json"], "train", ["train.parquet"]),
    ],
)  # fmt: skip
def test_by_name(names, split, expected):
    assert files(names, split=split) == expected


def test_by_card_a_config_chooses_its_own_files():
    names = ["main/train-00000.parquet", "main/test-00000.parquet", "main/test-old/1.parquet", "other/test-0.parquet"]
    assert files(names, GSM, split="test") == ["main/test-00000.parquet"]
    two = {
        "configs": [{"config_name": "I", "data_files": "i*.jsonl"}, {"config_name": "II", "data_files": ["**/j.jsonl"]}]
    }
    assert files(["i1.jsonl", "j.jsonl", "x/j.jsonl"], two, config="II") == ["j.jsonl", "x/j.jsonl"]
    with pytest.raises(UserError, match=r"several configs; write data.config=I or II"):
        files(["i1.jsonl"], two)
    two["configs"][0]["default"] = True
    assert files(["i1.jsonl", "j.jsonl"], two) == ["i1.jsonl"]


def test_what_is_not_there_is_listed():
    with pytest.raises(UserError, match=r"no split 'val'; write data\.split=train or test"):
        files(["train.jsonl", "test.jsonl"], split="val")
    with pytest.raises(UserError, match="several splits"):
        files(["train.jsonl", "test.jsonl"])
    with pytest.raises(UserError, match=r"no data files \(.csv there"):
        files(["rows.csv"], split="train")
    assert files(["only/test.jsonl"]) == ["only/test.jsonl"], "the only split needs no name"
