"""Stopping in good order: a signal or a deadline makes every rank save after the same optimizer step and leave.

    callback = Stopping(); Trainer(callbacks=[callback]); ...; callback.requested

SIGTERM, SIGUSR1 and Ctrl-C are one request. Ranks may see a signal at different times, or only one of them may; the
flag is reduced over ranks after each step, so all stop together (Hugging Face's own handler saves at two different
steps there).
"""

import os
import signal
import time
from typing import Any

import torch
from transformers import TrainerCallback

DEADLINE = "RLVR_SWEEP_DEADLINE"  # unix time by which a checkpoint must be written, set by whoever knows the limit


class Stopping(TrainerCallback):
    """Sets `should_save` and `should_training_stop` once any rank was asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deadline = float(os.environ.get(DEADLINE, "inf"))
        self._longest_step = 0.0
        self._step_began = time.time()
        self.accelerator: Any = None  # set once the trainer exists
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.requested = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_began = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.time()
        self._longest_step = max(self._longest_step, now - self._step_began)
        # Another step may take as long as the longest so far; saving takes time too.
        stop = self.requested or now + 2 * self._longest_step > self._deadline
        if self.accelerator.num_processes > 1:
            flag = torch.tensor([int(stop)], device=self.accelerator.device)
            stop = bool(self.accelerator.reduce(flag, reduction="sum").item())
        self.requested = stop
        if stop:
            control.should_save = True
            control.should_training_stop = True
