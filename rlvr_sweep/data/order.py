"""Which prompt is visited when: the whole run's sequence, from hashes, so that a resumed run needs no state.

    order(["a", "b", "c"], rollouts=2, prompts=2, seed=0, repeat=False)     # [(2, "c"), (0, "a"), (1, "b"), (2, "c#1")]

A longer run begins with the shorter one's sequence. Nothing is drawn from a random stream.
"""

from collections import Counter, deque
from collections.abc import Sequence
from hashlib import blake2b

from rlvr_sweep.errors import UserError


def order(
    row_ids: Sequence[str], *, rollouts: int, prompts: int, seed: int, repeat: bool, key: str = "data"
) -> list[tuple[int, str]]:
    """The (row index, visit id) of each of the run's rollouts * prompts visits, rollout after rollout.

    Epochs are permutations by hash, one after the other; no partial batch is dropped. A rollout that spans two epochs
    leaves for later what it already holds, so no row is twice in a rollout. With `repeat`, where there are fewer rows
    than `prompts`, a rollout holds each row as often as any other, or once more. Visit ids are unique in the run: a
    row's id at its first visit, then `<id>#1`, `<id>#2`, ... UserError: fewer rows than prompts without `repeat`.
    """
    total = len(row_ids)
    if total == 0:
        raise UserError(f"{key}: no rows to visit; write a source with at least one")
    if total < prompts and not repeat:
        raise UserError(
            f"{key}: {total} rows cannot fill a rollout of {prompts} prompts; write "
            f"algo.prompts_per_rollout={total} or fewer, or {key}.repeat=true"
        )
    waiting: deque[int] = deque()
    visits: list[tuple[int, str]] = []
    visited: Counter[int] = Counter()
    epoch = 0
    for _ in range(rollouts):
        here: Counter[int] = Counter()
        later: list[int] = []
        for taken in range(prompts):
            while True:
                if not waiting:
                    waiting.extend(permutation(row_ids, epoch=epoch, seed=seed))
                    epoch += 1
                row = waiting.popleft()
                if here[row] <= taken // total:
                    break
                later.append(row)
            here[row] += 1
            visits.append((row, f"{row_ids[row]}#{visited[row]}" if visited[row] else row_ids[row]))
            visited[row] += 1
        waiting.extendleft(reversed(later))
    if len({visit for _, visit in visits}) < len(visits):
        raise UserError(f"{key}: ids such as 'a' and 'a#1' would be taken for copies of one row; write ids without '#'")
    return visits


def permutation(row_ids: Sequence[str], *, epoch: int, seed: int) -> list[int]:
    """The row indices in the order of an epoch: sorted by hash of (seed, "order", epoch, row id)."""
    start = blake2b(f"{seed}\0order\0{epoch}\0".encode(), digest_size=16)

    def place(index: int) -> bytes:
        draw = start.copy()
        draw.update(row_ids[index].encode())
        return draw.digest()

    return sorted(range(len(row_ids)), key=place)
