"""An optimizer step's means over its tokens, and the range of the ratio.

TRL's own are means over micro-batches: how a cell is cut for its machine would show in them. Clip fractions and token
probability as in spurious_rewards B.1. The sums stay on the device until the step ends; one reduction a step.
"""

from typing import Any

import torch

MEANS = ("clip_ratio/low", "clip_ratio/high", "clip_ratio/dual", "token_probability", "entropy", "kl")


class StepStats:
    """Collects over the micro-batches of one optimizer step. `low` and `high` are the clip's epsilons, `dual` the bound
    of the ratio where the advantage is negative."""

    def __init__(self, *, low: float, high: float, dual: float | None = None, has_reference: bool = False) -> None:
        self.low, self.high, self.dual, self.has_reference = low, high, dual, has_reference
        self.logps: torch.Tensor | None = None  # (B, T) log-probs of the last loss pass, detached
        self.entropies: torch.Tensor | None = None  # (B, T) its entropies, detached
        self._range: list[torch.Tensor] = []  # of (least ratio, -greatest ratio)
        self._sums: list[torch.Tensor] = []  # of MEANS, and of tokens

    @torch.no_grad()
    def add(
        self,
        *,
        old: torch.Tensor | None,
        reference: torch.Tensor | None,
        mask: torch.Tensor,
        advantages: torch.Tensor,
    ) -> None:
        """Take in one micro-batch; `old` (B, T) is None where the ratio is 1 by construction, `reference` (B, T) where
        there is no KL term; `advantages` is (B,)."""
        assert self.logps is not None and self.entropies is not None, "the loss was computed without log-probs"
        keep = mask.bool()
        ratio = torch.ones_like(self.logps) if old is None else torch.exp(self.logps - old)
        self._range.append(
            torch.stack([torch.where(keep, ratio, torch.inf).min(), torch.where(keep, -ratio, torch.inf).min()])
        )
        ahead = torch.zeros_like(self.logps) if reference is None else reference - self.logps
        sign = advantages[:, None]
        each = (
            (sign < 0) & (ratio < 1 - self.low),
            (sign > 0) & (ratio > 1 + self.high),
            (sign < 0) & (ratio > (self.dual or torch.inf)),
            torch.exp(self.logps.double()),
            self.entropies,
            torch.exp(ahead) - ahead - 1,
            torch.ones_like(ratio),
        )
        self._sums.append(torch.stack([torch.where(keep, values.double(), 0).sum() for values in each]))
        self.logps = self.entropies = None

    def reduce(self, accelerator: Any) -> dict[str, float | None]:
        """The step's numbers over all ranks; starts afresh."""
        *sums, tokens = accelerator.reduce(torch.stack(self._sums).sum(0), reduction="sum").tolist()
        least, most = accelerator.gather(torch.stack(self._range).amin(0)[None]).amin(0).tolist()
        self._range, self._sums = [], []
        found = {name: value / tokens if tokens else None for name, value in zip(MEANS, sums, strict=True)}
        if self.dual is None:
            del found["clip_ratio/dual"]
        if not self.has_reference:
            found["kl"] = None
        low, high = found["clip_ratio/low"], found["clip_ratio/high"]
        return found | {
            "clip_ratio/region": None if low is None or high is None else low + high,
            "ratio/min": least if tokens else None,
            "ratio/max": -most if tokens else None,
        }
