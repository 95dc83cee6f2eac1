"""Stopping in good order: a signal or a deadline makes every rank save after the same optimizer step and leave.

    callback = Stopping(); Trainer(callbacks=[callback]); ...; callback.requested

SIGTERM, SIGUSR1, Ctrl-C and a file (where signals do not reach) are one request. Ranks may see it at different times,
or only one of them may; the flag is reduced over ranks after each step, so all stop together (Hugging Face's own
handler saves at two different steps there).
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from rlvr_sweep.protocol import DEADLINE, STOP_FILE

LONGER = 1.5  # than the last checkpoint or evaluation the next may take: disks are shared, completions grow


class Stopping(TrainerCallback):
    """Sets `should_save` and `should_training_stop` once any rank was asked to stop, or the deadline is too near for
    more than a checkpoint: `saving` seconds are reckoned for it until one was timed."""

    def __init__(self, saving: float = 0.0) -> None:
        self.requested = False
        self._saving = saving
        self._deadline = float(os.environ.get(DEADLINE, "inf"))
        self._file = Path(os.environ[STOP_FILE]) if STOP_FILE in os.environ else None
        self._longest_step = 0.0
        self._step_began = time.time()
        self.accelerator: Any = None  # set once the trainer exists
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.requested = True

    def saved_in(self, seconds: float) -> None:
        """What the last checkpoint took."""
        self._saving = LONGER * seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_began = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._longest_step = max(self._longest_step, time.time() - self._step_began)
        self.stops_before(self.another_step, control)

    @property
    def another_step(self) -> float:
        """Seconds that are reckoned for one more."""
        return 2 * self._longest_step

    def stops_before(self, seconds: float, control: Any) -> bool:
        """Whether all ranks save and leave now: one was asked to, or has no `seconds` left before it must save. All
        must call it."""
        asked = self.requested or (self._file is not None and self._file.exists())
        stop = asked or time.time() + seconds + self._saving > self._deadline
        if self.accelerator.num_processes > 1:
            flag = torch.tensor([int(stop)], device=self.accelerator.device)
            stop = bool(self.accelerator.reduce(flag, reduction="sum").item())
        if stop:
            self.requested = True  # never False: a signal may have come while the ranks were asked
            control.should_save = True
            control.should_training_stop = True
        return stop
