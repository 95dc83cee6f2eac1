"""A request to stop is one for all ranks, and is never lost."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import TrainerControl

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
