"""The batch algebra of a GRPO run: what is generated, how it is cut, how many optimizer steps come of it. Plain Python.

    from rlvr_sweep.config.batch import plan
    plan(prompts=64, completions=16, updates=8, rollouts=300, ranks=8, micro_batch=4).optimizer_steps   # 2400

TRL counts everything in optimizer steps and per-device batches; papers count rollouts and prompts. We configure the
latter and derive the former. The clip ablations that work by batch shape (spurious_rewards, section 4.4.2) are
rewritten here too, so that one place decides how many rollouts an arm runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """One run's batches. Counts are over all ranks unless a name says otherwise."""

    rollouts: int
    prompts: int  # prompts a rollout
    completions: int  # completions a prompt (group size G)
    updates: int  # optimizer steps a rollout (K)
    ranks: int
    micro_batch: int  # completions a forward pass, per rank
    stretch: int = 1  # rollouts this arm makes for one of the on-arm's; evals and checkpoints are counted in the latter

    @property
    def rollout_size(self) -> int:
        """Completions a rollout."""
        return self.prompts * self.completions

    @property
    def train_batch(self) -> int:
        """Completions an optimizer step."""
        return self.rollout_size // self.updates

    @property
    def optimizer_steps(self) -> int:
        return self.rollouts * self.updates

    @property
    def steps_per_generation(self) -> int:
        """Micro-batches a rank makes of one rollout (TRL's S)."""
        return self.rollout_size // (self.ranks * self.micro_batch)

    @property
    def gradient_accumulation_steps(self) -> int:
        """Micro-batches a rank makes an optimizer step (TRL's A)."""
        return self.train_batch // (self.ranks * self.micro_batch)


def nearest(value: int, legal: list[int]) -> str:
    """The legal values next to `value`, as text: '4 or 8'."""
    below = [x for x in legal if x <= value][-1:]
    above = [x for x in legal if x > value][:1]
    return " or ".join(str(x) for x in below + above)


def divisors(n: int) -> list[int]:
    """Divisors of n >= 1, ascending."""
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def faults(
    *,
    prompts: int,
    completions: int,
    updates: int,
    ranks: int,
    loss_batch: int = 1,
    fewer: Sequence[int] | None = None,
) -> list[tuple[str, str]]:
    """What does not divide, each as (key, what is wrong and the nearest values that do). `loss_batch`: completions over
    which the loss is a mean. `fewer`: ranks that may be had instead; None: all that are fewer."""
    size, instead = prompts * completions, range(1, ranks) if fewer is None else fewer
    if prompts % ranks:
        legal = list(range(ranks, 2 * prompts + ranks, ranks))
        found = (
            "algo.prompts_per_rollout",
            f"{prompts} prompts cannot be split over {ranks} ranks in whole groups; write {nearest(prompts, legal)}",
        )
    elif (per_rank := size // ranks) % updates:
        found = (
            "algo.updates_per_rollout",
            f"a rollout of {prompts} x {completions} = {size} completions on {ranks} rank(s) cannot be cut into "
            f"{updates} equal updates; write {nearest(updates, divisors(per_rank))}",
        )
    elif (per_rank // updates) % loss_batch:
        found = (
            "estimator.loss_batch",
            f"an update of {per_rank // updates} completions a rank cannot be cut into "
            f"batches of {loss_batch}; write {nearest(loss_batch, divisors(per_rank // updates))}",
        )
    else:
        return []
    key, text = found
    return [(key, text + or_ranks(instead, prompts=prompts, size=size, parts=updates * loss_batch))]


def or_ranks(legal: Sequence[int], *, prompts: int, size: int, parts: int) -> str:
    """As in ", or compute.ranks=8": the most of these ranks over which whole prompts can be split and their `size`
    completions cut into `parts` on each; nothing where there are none."""
    fit = [ranks for ranks in legal if prompts % ranks == 0 and size % (ranks * parts) == 0]
    return f", or compute.ranks={max(fit)}" if fit else ""


def plan(
    *,
    prompts: int,
    completions: int,
    updates: int,
    rollouts: int,
    ranks: int,
    micro_batch: int | None,
    loss_batch: int = 1,
    stretch: int = 1,
) -> Batch:
    """The batches of a run. A pass has the most completions that divide a rank's share of an update, `micro_batch` at
    most (None: all of it), in whole batches of the loss.

    Raises ValueError where `faults` finds one.
    """
    found = faults(prompts=prompts, completions=completions, updates=updates, ranks=ranks, loss_batch=loss_batch)
    if found:
        raise ValueError("; ".join(f"{key}: {text}" for key, text in found))
    share = prompts * completions // (ranks * updates)
    legal = [size * loss_batch for size in divisors(share // loss_batch)]
    return Batch(
        rollouts=rollouts,
        prompts=prompts,
        completions=completions,
        updates=updates,
        ranks=ranks,
        micro_batch=max((size for size in legal if size <= (micro_batch or share)), default=loss_batch),
        stretch=stretch,
    )
