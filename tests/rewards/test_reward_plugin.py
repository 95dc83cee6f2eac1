"""Rewards from the user's own file: found, identified by their source, and harmless when they fail."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.rewards import parse, plugin, reward_content, score

SOURCE = """
def short(group, limit=3):
    return [float(len(text) < limit) for text in group.texts]

def labelled(group):
    return [group.label == "7"] * len(group.completions)

def broken(group):
    raise RuntimeError("out of luck\\nand more")

def few(group):
    return [1.0]

def odd(group):
    return [float("nan"), float("inf"), None, 0.5]

def words(group):
    return ["high"] * len(group.completions)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setattr(plugin, "failures", type(plugin.failures)())
    plugin.load.cache_clear()
    before = set(sys.modules)
    (tmp_path / "my_rewards.py").write_text(SOURCE)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def spec(function: str, **params: object):
    return parse({"name": "plugin", "function": function, "params": params})


def test_a_function_in_the_working_directory_is_called_with_its_parameters(folder: Path, group) -> None:
    made = group(texts=["ab", "abcd", "abcdef"], label="7")
    assert score(spec("my_rewards:short"), made) == [1.0, 0.0, 0.0]
    assert score(spec("my_rewards:short", limit=5), made) == [1.0, 1.0, 0.0]
    assert score(spec("my_rewards:labelled"), made) == [1.0, 1.0, 1.0]


def test_its_source_is_its_content(folder: Path) -> None:
    nested = parse({"name": "inverse", "of": spec("my_rewards:short")})
    expected = {"reward:my_rewards:short": hashlib.sha256(SOURCE.encode()).hexdigest()}
    assert reward_content(nested) == expected


@pytest.mark.parametrize(
    ("source", "function", "words"),
    [
        (None, "nowhere:score", "'nowhere:score' cannot be imported from"),
        (None, "nowhere:score", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import missing_package", "bad:score", "No module named 'missing_package'"),
        ("def score(:", "bad:score", "SyntaxError: invalid syntax"),
        ("raise ValueError('first\\nsecond')", "bad:score", "ValueError: first; "),
        ("raise SystemExit(3)", "bad:score", "SystemExit: 3"),
        (SOURCE, "bad:shrt", "bad has no function 'shrt'; write bad:NAME with NAME one of short, "),
        ("score = 3", "bad:score", "bad has no function 'score'"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(
    folder: Path, source: str | None, function: str, words: str
) -> None:
    if source is not None:
        (folder / "bad.py").write_text(source)
    with pytest.raises(UserError) as caught:
        reward_content(spec(function))
    assert words in str(caught.value)
    assert str(caught.value).startswith("reward.function: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "expected", "reason", "count"),
    [
        ("my_rewards:broken", [None] * 4, "my_rewards:broken raised RuntimeError: out of luck", 4),
        ("my_rewards:few", [None] * 4, "my_rewards:few returned 1 values for 4 completions", 4),
        ("my_rewards:odd", [None, None, None, 0.5], "my_rewards:odd returned NaN or infinity", 2),
        ("my_rewards:words", [None] * 4, "my_rewards:words raised ValueError: could not convert", 4),
    ],
)
def test_a_failing_plugin_leaves_completions_unscorable_and_says_so_once(
    folder: Path, group, caplog: pytest.LogCaptureFixture, function: str, expected: list, reason: str, count: int
) -> None:
    made = group(texts=["a"] * 4)
    assert score(spec(function), made) == expected
    assert score(spec(function), made) == expected
    [(told, times)] = plugin.failures.items()
    assert told.startswith(reason)
    assert times == 2 * count
    assert len(caplog.records) == 1
