"""What TRL does not log of an optimizer step: the ratio's range and the mean token probability (spurious_rewards B.1).

The sums stay on the device until the step ends; one reduction a step.
"""

from typing import Any

import torch


class StepStats:
    """Collects over the micro-batches of one optimizer step."""

    def __init__(self, *, dual: float | None = None) -> None:
        self.dual = dual  # the bound of the ratio where the advantage is negative
        self.logps: torch.Tensor | None = None  # (B, T) log-probs of the last loss pass, detached
        self._low: list[torch.Tensor] = []
        self._high: list[torch.Tensor] = []
        self._sums: list[torch.Tensor] = []  # of probability, of tokens, of tokens at the dual bound

    @torch.no_grad()
    def add(self, *, old: torch.Tensor | None, mask: torch.Tensor, negative: torch.Tensor) -> None:
        """Take in one micro-batch; `old` (B, T) is None where the ratio is 1 by construction, `negative` (B,) says
        whose advantage is below 0."""
        assert self.logps is not None, "the loss was computed without log-probs"
        keep = mask.bool()
        ratio = torch.ones_like(self.logps) if old is None else torch.exp(self.logps - old)
        self._low.append(torch.where(keep, ratio, torch.inf).min())
        self._high.append(torch.where(keep, ratio, -torch.inf).max())
        probability = torch.exp(self.logps.double()) * keep
        bounded = keep & negative[:, None] & (ratio > (self.dual or torch.inf))
        self._sums.append(torch.stack([probability.sum(), keep.sum().double(), bounded.sum().double()]))
        self.logps = None

    def reduce(self, accelerator: Any) -> dict[str, float | None]:
        """The step's numbers over all ranks; starts afresh."""
        low, high = torch.stack(self._low).min(), torch.stack(self._high).max()
        total = accelerator.reduce(torch.stack(self._sums).sum(0), reduction="sum")
        extremes = accelerator.gather(torch.stack([low, -high])[None]).min(0).values
        self._low, self._high, self._sums = [], [], []
        tokens = total[1].item()
        found = {
            "ratio/min": extremes[0].item() if tokens else None,
            "ratio/max": -extremes[1].item() if tokens else None,
            "token_probability": total[0].item() / tokens if tokens else None,
        }
        if self.dual is not None:
            found["clip_ratio/dual"] = total[2].item() / tokens if tokens else None
        return found
