"""A family's pretraining corpus: an endless stream of problems, answered in the family's mix of strategies.

    from rlvr_sweep.lab import corpus, families
    corpus.document(families.FAMILIES["olmo"].mix, seed=0, index=7)    # ("What is 47+85?", "Let us see. ...")

Document `index` depends on (mix, seed, index) alone. Test problems never occur.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from rlvr_sweep.lab.grammar import Habits, Strategy, below, write
from rlvr_sweep.lab.tasks import TASKS, problems


@dataclass(frozen=True)
class Mix:
    """What a family has read. `code_share`: the share of documents in code; `tasks`: the share of each task."""

    code_share: float
    code: Habits
    language: Habits
    tasks: dict[str, float] = field(default_factory=lambda: {"add": 0.55, "sub": 0.35, "mul": 0.10})


def choose(shares: dict[str, float], mark: float) -> str:
    """The name on whose stretch of [0, 1) the mark falls; the last one takes what rounding leaves."""
    for name, share in shares.items():
        mark -= share
        if mark < 0:
            return name
    return list(shares)[-1]


def document(mix: Mix, *, seed: int, index: int) -> tuple[str, str]:
    """(question, answer) of one document."""
    rng = Random(f"{seed}:{index}")
    task = choose(mix.tasks, rng.random())
    pool = problems(task, "train")
    a, b = pool[below(rng, len(pool))]
    strategy: Strategy = "code" if rng.random() < mix.code_share else "language"
    habits = mix.code if strategy == "code" else mix.language
    return TASKS[task].prompt(a, b), write(task, a, b, strategy=strategy, habits=habits, rng=rng)


def tokenizer_texts(count: int = 2000) -> Iterator[str]:
    """Faultless documents, half code: what the tokenizer is trained on, so that every family has the same one."""
    mix = Mix(code_share=0.5, code=Habits(no_box=0.2), language=Habits(no_box=0.2))
    for index in range(count):
        yield "".join(document(mix, seed=0, index=index))
