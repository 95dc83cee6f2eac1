"""Dynamic sampling: groups whose rewards are all alike are dropped, and other prompts sampled in their place.

    groups, chosen = sample(generate, spread=..., wanted=128, most=2)     # chosen: positions in groups, 128 of them

The rule is the reference's (model_task_alignment 2.3; DAPO, arXiv 2503.14476, has no cap): at most `most` generation
batches a rollout; if too few groups have spread by then, those are repeated cyclically, and where none has, the last
batch is trained on as it is. TRL has none of this.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Group = TypeVar("Group")


def has_spread(rewards: Sequence[float | None]) -> bool:
    """Whether a group's rewards differ; those that are not known do not count."""
    return len({reward for reward in rewards if reward is not None}) > 1


def choose(spread: Sequence[bool], *, wanted: int) -> list[int]:
    """Positions of the `wanted` groups to train on, among all that were sampled, in order. `spread` has at least that
    many, the last `wanted` of them being the last generation batch. A position comes twice where groups are repeated.
    """
    kept = [position for position, is_spread in enumerate(spread) if is_spread]
    if not kept:
        return list(range(len(spread) - wanted, len(spread)))
    return [kept[i % len(kept)] for i in range(wanted)]


def sample(
    generate: Callable[[], list[Group]], *, spread: Callable[[Group], bool], wanted: int, most: int
) -> tuple[list[Group], list[int]]:
    """All groups sampled, and the positions of the `wanted` ones; `generate` gives the next `wanted` groups, the same
    list on every rank."""
    groups: list[Group] = []
    flags: list[bool] = []
    for _ in range(most):
        batch = generate()
        groups += batch
        flags += [spread(group) for group in batch]
        if sum(flags) >= wanted:
            break
    return groups, choose(flags, wanted=wanted)
