"""Tells status.json where training stands, at most once a second."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class Progress(TrainerCallback):
    """Writes step and steps; what was reached is in metrics.jsonl."""

    def __init__(self, say: Callable[..., None], every_s: float = 1.0) -> None:
        self._say, self._every, self._last = say, every_s, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if now - self._last >= self._every or state.global_step == state.max_steps:
            self._last = now
            self._say(step=state.global_step, steps=state.max_steps)
