"""How long a step takes, and where training stands (in status.json, at most once a second)."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from rlvr_sweep.train.stopping import Stopping


class Clock(TrainerCallback):
    """Wall seconds of the last optimizer step, from its first micro-batch to the optimizer, without evaluations and
    checkpoints. It must be the first of the callbacks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.perf_counter() - self._began


class Progress(TrainerCallback):
    """Writes step and steps; what was reached is in metrics.jsonl."""

    def __init__(self, say: Callable[..., None], every_s: float = 1.0) -> None:
        self._say, self._every, self._last = say, every_s, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if now - self._last >= self._every or state.global_step == state.max_steps:
            self._last = now
            self._say(step=state.global_step, steps=state.max_steps)


class Phases:
    """Seconds by phase of an attempt, and the phase in status.json for whoever watches."""

    def __init__(self, began: float, say: Callable[..., None]) -> None:
        self.seconds: dict[str, float] = {}
        self._say, self._name, self._began = say, "start", began

    def enter(self, name: str, **said: Any) -> str:
        """Close the running phase and open `name`; returns the name of the former. `said`: also in status.json."""
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        former, self._name, self._began = self._name, name, now
        self._say(phase=name, **said)
        return former


class Saving(TrainerCallback):
    """The phase from the end of a step whose checkpoint is written until it is. It must be the last of the callbacks:
    others ask for checkpoints. `stopping` learns how long the next may take, and status.json for the next attempt."""

    def __init__(self, phases: Phases, stopping: Stopping, say: Callable[..., None]) -> None:
        self._phases, self._stopping, self._say = phases, stopping, say
        self._former, self._began = "", 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.save_steps = args.save_steps  # a resume has those of the attempt that wrote the checkpoint

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if control.should_save:
            self._former, self._began = self._phases.enter("checkpoint"), time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._phases.enter(self._former)
        seconds = time.perf_counter() - self._began
        self._stopping.saved_in(seconds)
        self._say(saved_in=round(seconds, 1))
