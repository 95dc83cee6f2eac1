"""The content hash that stands for a file or folder in a cell's identity."""

import os
from pathlib import Path

import pytest

from rlvr_sweep.data.content import content_sha256
from rlvr_sweep.errors import UserError


def model(folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    for name, body in ({"config.json": b"{}", "model.safetensors": b"weights"} | files).items():
        (folder / name).write_bytes(body)
    return folder


def test_a_file_hashes_by_its_bytes_and_a_change_is_seen(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    before = content_sha256(tmp_path / "a")
    assert before == content_sha256(tmp_path / "b")
    (tmp_path / "a").write_bytes(b"two")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert content_sha256(tmp_path / "a") != before


def test_a_model_folder_hashes_by_what_from_pretrained_reads(tmp_path):
    one = content_sha256(model(tmp_path / "one"))
    assert one == content_sha256(model(tmp_path / "moved"))
    litter = model(tmp_path / "litter", **{".hidden": b"x", "training_args.bin": b"x", "optimizer.pt": b"x"})
    (litter / "checkpoint-8").mkdir()
    (litter / "checkpoint-8" / "model.safetensors").write_bytes(b"other")
    assert one == content_sha256(litter)
    for number, change in enumerate(({"tokenizer.json": b"{}"}, {"model.safetensors": b"other"}, {"a.jinja": b""})):
        assert one != content_sha256(model(tmp_path / f"changed{number}", **change))


def test_a_renamed_file_is_another_model(tmp_path):
    one = model(tmp_path / "one", **{"tokenizer.json": b"x"})
    two = model(tmp_path / "two", **{"tokenizer_old.json": b"x"})
    assert content_sha256(one) != content_sha256(two)


def test_nothing_there_is_refused_with_the_nearest_name(tmp_path):
    model(tmp_path / "qwen")
    with pytest.raises(UserError, match=r"no such file; write .*/qwen"):
        content_sha256(tmp_path / "qwem")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no model files"):
        content_sha256(tmp_path / "empty")
