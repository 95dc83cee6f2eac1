"""Training prompts that are in a benchmark: word for word, nearly, or by a shared run of words; all benchmarks at once.

    found = overlap(train_prompts, {"math500": prompts})
    found["math500"].exact, found["math500"].near, found["math500"].ngram     # counts of benchmark prompts

Time is linear in the words of both sides. Shared 13-grams are GPT-3's measure (arXiv 2005.14165, appendix C); set
phrases ("m and n are relatively prime positive integers. Find ...") reach it too, so `near` asks for half of them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlvr_sweep.errors import UserError

SHOWN = 3  # examples kept of a benchmark
NEAR = 0.5  # share of a benchmark prompt's runs in one training prompt
WORD = re.compile(r"\w+")
# Mathematics is the same whatever its delimiters, spaces and final stop.
LAYOUT = re.compile(r"\s|\$|\\[()\[\]]|\\[,;:! ]|\\left|\\right|[.?!]+\s*$")


@dataclass(frozen=True)
class Example:
    """A benchmark prompt and the training prompt that shows most of it, by index; `share` of its runs, 1 if exact."""

    benchmark: int
    train: int
    exact: bool
    share: float


@dataclass(frozen=True)
class Overlap:
    """Of a benchmark's `prompts`: how many are training prompts word for word (`exact`), have half of their runs of
    words in one training prompt (`near`), or share any run (`ngram`). Each count includes those before it."""

    prompts: int
    exact: int
    near: int
    ngram: int
    examples: list[Example]


def overlap(
    train_prompts: Sequence[str], benchmarks: Mapping[str, Sequence[str]], *, n: int = 13
) -> dict[str, Overlap]:
    """For each benchmark the number of its prompts that occur in the training prompts.

    Exact: equal but for case, white space and LaTeX delimiters. A run is `n` words (letters and digits, without case)
    in a row; a benchmark prompt of fewer than `n` words counts only where it is exact.
    """
    whole: dict[str, list[tuple[str, int]]] = {}
    runs: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    totals: dict[tuple[str, int], int] = {}
    for name, prompts in benchmarks.items():
        for index, prompt in enumerate(prompts):
            whole.setdefault(_plain(prompt), []).append((name, index))
            found = _runs(prompt, n)
            totals[name, index] = len(found)
            for run in found:
                runs.setdefault(run, []).append((name, index))
    best: dict[tuple[str, int], Example] = {}
    for train, prompt in enumerate(train_prompts):
        exact = set(whole.get(_plain(prompt), ()))
        shared = Counter(where for run in _runs(prompt, n) for where in runs.get(run, ()))
        for where in exact | shared.keys():
            share = 1.0 if where in exact else shared[where] / totals[where]
            known = best.get(where)
            if known is None or (where in exact, share) > (known.exact, known.share):
                best[where] = Example(benchmark=where[1], train=train, exact=where in exact, share=share)
    return {name: _count(name, len(prompts), best) for name, prompts in benchmarks.items()}


def _count(name: str, prompts: int, best: Mapping[tuple[str, int], Example]) -> Overlap:
    hits = sorted(
        (hit for (benchmark, _), hit in best.items() if benchmark == name),
        key=lambda hit: (not hit.exact, -hit.share, hit.benchmark),
    )
    return Overlap(
        prompts=prompts,
        exact=sum(hit.exact for hit in hits),
        near=sum(hit.share >= NEAR for hit in hits),
        ngram=len(hits),
        examples=hits[:SHOWN],
    )


def refuse(found: Mapping[str, Overlap], *, key: str = "data") -> None:
    """Raise UserError where a benchmark prompt is a training prompt, or nearly (data.overlap=refuse)."""
    faults = [f"{hit.near} of {hit.prompts} in {name} ({hit.exact} exactly)" for name, hit in found.items() if hit.near]
    if faults:
        raise UserError(
            f"{key}: training prompts are in the benchmarks: {'; '.join(faults)}; "
            f"write other data, or {key}.overlap=report"
        )


def _plain(prompt: str) -> str:
    return LAYOUT.sub("", unicodedata.normalize("NFKC", prompt).strip()).casefold()


def _runs(prompt: str, n: int) -> set[tuple[str, ...]]:
    words = WORD.findall(unicodedata.normalize("NFKC", prompt).casefold())
    return set(zip(*(words[start:] for start in range(n)), strict=False))
