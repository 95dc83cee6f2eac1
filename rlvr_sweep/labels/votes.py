"""From the answers of one prompt to its pseudo-label. Pure, but for the grader that says which answers are equal.

    count(["5", "5.0", None, "7"], how="exact").pick(1)              # ("5", 1): ties go to the first seen
    count(["5", "5.0", None, "7"], how="equivalence", classes=grader.equivalence_classes).pick(1)     # ("5", 2)

The authors of Spurious Rewards count exact strings (section 1.3); then 5 and 5.0 are two answers, and the vote can go
to a third. Answers that are missing or empty never vote.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

VERSION = 1  # raise it when a vote over the same answers comes out otherwise

How = Literal["exact", "equivalence"]
Classes = Callable[[Sequence[str | None]], list[int | None]]  # Grader.equivalence_classes


@dataclass(frozen=True)
class Votes:
    """The answers of a prompt, by how often they were given: (answer, count), the most common first, ties in the order
    in which they were first seen. `samples` counts all completions, `answered` those with an answer."""

    ranking: tuple[tuple[str, int], ...]
    samples: int
    answered: int

    def pick(self, rank: int) -> tuple[str, int]:
        """The answer of that rank (1: the most common, -1: the least) and how often it was given; ("", 0) where there
        are not so many different answers. ValueError for rank 0."""
        if rank == 0:
            raise ValueError("rank 0: write 1 for the most common answer, -1 for the least")
        if abs(rank) > len(self.ranking):
            return "", 0
        return self.ranking[rank - 1 if rank > 0 else rank]


def count(answers: Sequence[str | None], *, how: How, classes: Classes | None = None) -> Votes:
    """Count the votes. With `how="equivalence"`, `classes` says which answers are equal; an answer is then shown as it
    was written most often."""
    given = [answer if answer is not None and answer.strip() else None for answer in answers]
    known = [answer for answer in given if answer is not None]
    if how == "exact":
        ranking = Counter(known).most_common()
    else:
        if classes is None:
            raise ValueError("a vote by equivalence needs `classes`")
        members: dict[int, Counter[str]] = {}
        for answer, found in zip(given, classes(given), strict=True):
            if answer is not None and found is not None:
                members.setdefault(found, Counter())[answer] += 1
        sizes = Counter({number: spellings.total() for number, spellings in members.items()})
        ranking = [(members[number].most_common(1)[0][0], size) for number, size in sizes.most_common()]
    return Votes(tuple(ranking), samples=len(answers), answered=len(known))
