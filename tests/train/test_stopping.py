"""A request to stop is one for all ranks, and is never lost."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from transformers import TrainerControl

from rlvr_sweep.protocol import DEADLINE
from rlvr_sweep.train.evaluation import Evaluation
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


def evaluating(stopping: Stopping, *, took: float = 0.0, takes: Callable[[], None] = lambda: None) -> Evaluation:
    """Due after each of ten steps; the last one `took` so many seconds."""
    cell: Any = SimpleNamespace(eval=SimpleNamespace(every=1, before=True))
    found = Evaluation(cell, "", Path(), tasks=[], grader=cast(Any, None), stopping=stopping)
    found.trainer = SimpleNamespace(batch=SimpleNamespace(stretch=1, updates=1, optimizer_steps=10))
    found.took, made = took, []
    found.__dict__.update(evaluate=lambda step: (made.append(step), takes()), made=made)
    return found


@pytest.mark.parametrize(
    ("left", "step", "made"),
    [
        (3500, 1, []),  # 1.5 times the evaluation and two steps are 3,500
        (3600, 1, [1]),
        (3400, 10, [10]),  # no step follows
        (1400, 10, []),
    ],
)
def test_an_evaluation_is_made_where_there_is_time_for_it_and_for_what_follows(
    monkeypatch: pytest.MonkeyPatch, left: float, step: int, made: list[int]
) -> None:
    stopping, control = with_time_left(monkeypatch, left), TrainerControl()
    monkeypatch.setattr(stopping, "_longest_step", 1000.0)
    evaluation = evaluating(stopping, took=1000.0)
    evaluation.on_step_end(None, SimpleNamespace(global_step=step, max_steps=10), control)
    assert evaluation.__dict__["made"] == made
    assert control.should_training_stop is not bool(made)


def test_who_is_asked_to_stop_while_it_evaluates_takes_no_other_step(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, control = with_time_left(monkeypatch, 10_000), TrainerControl()
    monkeypatch.setattr(stopping, "_longest_step", 1.0)
    evaluation = evaluating(stopping, takes=lambda: signal.raise_signal(signal.SIGUSR1))
    evaluation.on_step_end(None, SimpleNamespace(global_step=1, max_steps=10), control)
    assert evaluation.__dict__["made"] == [1]
    assert control.should_training_stop and control.should_save
