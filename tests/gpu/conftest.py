"""On a machine of several GPUs a test sees the first, as a cell of one rank does that the launcher started."""

import os
from collections.abc import Iterator

import pytest

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALL = os.environ.get(VISIBLE)  # before the first test takes one of them


@pytest.fixture(autouse=True, scope="module")
def one_gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:  # torch counts the GPUs for good when it first takes one
        patch.setenv(VISIBLE, (ALL or "0").split(",")[0])
        yield


@pytest.fixture
def all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a command that a test starts, not for the test's own process."""
    if ALL is None:
        monkeypatch.delenv(VISIBLE)
    else:
        monkeypatch.setenv(VISIBLE, ALL)
