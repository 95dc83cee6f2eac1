"""Which commit a record names: the checkout's own, a copy's, or the one the environment says."""

import json
import subprocess
from pathlib import Path

import pytest

from rlvr_sweep import source
from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.doctor import install
from rlvr_sweep.train.environment import environment


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without .git, in one that has a repository."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "tree").mkdir()
    monkeypatch.setattr(source, "CHECKOUT", tmp_path / "tree")
    monkeypatch.delenv(source.VARIABLE, raising=False)
    return tmp_path / "tree"


def test_a_checkout_knows_its_commit(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tree)]
    subprocess.run([*git, "init", "-q"], check=True)
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, *named, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setenv(source.VARIABLE, "said")
    found = source.commit()
    assert found is not None and len(found) == 40


def test_an_archive_says_what_the_environment_says(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.commit() is None
    monkeypatch.setenv(source.VARIABLE, "said")
    assert source.commit() == "said"
    (tree / "code.json").write_text(json.dumps({"commit": "copied", "changed": False}))
    assert source.commit() == "copied"


def test_records_and_the_doctor_name_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = compose_or_refuse([], multirun=False)[0].cell
    assert environment(cell, use_cpu=True, kept=None)["commit"] is None
    monkeypatch.setenv(source.VARIABLE, "0123456789abcdef")
    assert environment(cell, use_cpu=True, kept=None)["commit"] == "0123456789abcdef"
    assert install.commit().found == "commit 0123456789ab"
