"""A request to stop is one for all ranks, and is never lost."""

import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerControl

from rlvr_sweep.protocol import DEADLINE
from rlvr_sweep.train.progress import Phases, Saving
from rlvr_sweep.train.stopping import Stopping


class Ranks:
    """Two, of which the other never asks; while this one does, `arrives` comes."""

    num_processes, device = 2, torch.device("cpu")

    def __init__(self, arrives: signal.Signals) -> None:
        self.arrives = arrives

    def reduce(self, flag: torch.Tensor, **how: Any) -> torch.Tensor:
        signal.raise_signal(self.arrives)
        return flag


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_that_comes_while_the_ranks_are_asked_stops_them_the_next_time(number: signal.Signals) -> None:
    stopping, control = Stopping(), TrainerControl()
    stopping.accelerator = Ranks(number)
    assert not stopping.stops_before(0, control)
    assert not control.should_training_stop
    assert stopping.stops_before(0, control)
    assert control.should_training_stop
    assert control.should_save


def with_time_left(monkeypatch: pytest.MonkeyPatch, seconds: float, **options: float) -> Stopping:
    monkeypatch.setenv(DEADLINE, str(time.time() + seconds))
    stopping = Stopping(**options)
    stopping.accelerator = SimpleNamespace(num_processes=1)
    return stopping


def test_before_the_deadline_there_is_time_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for saving, stops in ((0.0, False), (4000.0, False), (6000.0, True)):
        stopping = with_time_left(monkeypatch, 10_000, saving=saving)
        assert stopping.stops_before(5000, TrainerControl()) is stops


def test_what_a_checkpoint_took_is_better_than_what_was_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = with_time_left(monkeypatch, 10_000, saving=20_000.0)
    said: dict[str, Any] = {}
    saving = Saving(Phases(0.0, said.update), stopping, said.update)
    saving.on_step_end(None, None, TrainerControl(should_save=True))
    now = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: now() + 2000)
    saving.on_save(None, None, TrainerControl())
    assert said["saved_in"] == pytest.approx(2000, abs=1000)
    assert not stopping.stops_before(0, TrainerControl())
    assert stopping.stops_before(9000, TrainerControl())
