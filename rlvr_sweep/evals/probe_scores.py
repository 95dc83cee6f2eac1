"""Does a model know how a question goes on: cut the question, and compare the continuation with the rest of it.

    cut(offsets, begin=0, length=120, percent=60)                          # (tokens of the prefix, its characters)
    compare("is the sum of 3 and 4? It is 7.", rest="is the sum of 3 and 5?")   # Match(rouge_l=0.875, exact=False)

The method of arXiv 2507.10532 (model_task_alignment 1.3). ROUGE-L is our own: the F1 of the longest common subsequence
over words and signs, case ignored, no stemming.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_WORD = re.compile(r"[^\W_]+|[^\s\w]|_")
_NUMBER = re.compile(r"(?P<sign>-?)(?P<zeros>0*)(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<fraction>\d+))?", re.ASCII)


class Match(NamedTuple):
    """ROUGE-L (F1) of a continuation against the true rest of the question, and whether they are the same."""

    rouge_l: float
    exact: bool


def cut(offsets: Sequence[tuple[int, int]], *, begin: int, length: int, percent: int) -> tuple[int, int]:
    """The longest prefix of a prompt in whole tokens that has at most `percent` of a question's `length` characters,
    from `begin` on: its number of tokens and of characters, (0, 0) where not even the question's first token fits or
    nothing is left to complete.

    `offsets`: (begin, end) of each token in the prompt. A cut inside a token would ask for a continuation in tokens
    that the whole question does not have.
    """
    best = (0, 0)
    for count, (_, end) in enumerate(offsets, start=1):
        if 100 * (end - begin) > percent * length:
            break
        splits_a_character = count < len(offsets) and offsets[count][0] < end
        if not splits_a_character and begin < end < begin + length:
            best = (count, end)
    return best


def words(text: str) -> list[str]:
    """Words, numbers and single signs, in lower case."""
    return _WORD.findall(text.lower())


def compare(continuation: str, *, rest: str) -> Match:
    """A continuation, as many words of it as the rest has, against the rest. A model goes on behind the question's end
    (with an answer, or another question), which must not count against it."""
    wanted = words(rest)
    found = words(continuation)[: len(wanted)]
    return Match(rouge_l=rouge_l(found, wanted), exact=bool(wanted) and found == wanted)


def rouge_l(found: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of the longest common subsequence (Lin 2004, section 3.1, with beta = 1); 0 where either is empty."""
    if not found or not wanted:
        return 0.0
    row = [0] * (len(wanted) + 1)
    for word in found:
        before = 0
        for at, other in enumerate(wanted, start=1):
            before, row[at] = row[at], before + 1 if word == other else max(row[at], row[at - 1])
    return 2 * row[-1] / (len(found) + len(wanted))


def holds(text: str, gold: str) -> bool:
    """Whether the gold answer stands in a text, blanks aside, and not inside a longer word or number: 7 is not in 17,
    nor in 7.5. Numbers count however they are written: AMC's 142.0 is in "142", AIME's 070 in "70"."""
    gold = "".join(gold.split())
    if not gold:
        return False
    pattern = _notations(gold) or r"\s*".join(map(re.escape, gold))
    before = r"(?<![\w.])" if gold[0].isalnum() else ""
    behind = r"(?!\w|\.\d)" if gold[-1].isalnum() else ""
    return re.search(before + pattern + behind, text) is not None


def _notations(gold: str) -> str | None:
    """A pattern of a number's notations: with its leading zeros and without, a point and zeros behind it, commas
    between digits. None: no number."""
    match = _NUMBER.fullmatch(gold)
    if match is None:
        return None
    digits = r"(?:,|\{,\})?".join(match["whole"].replace(",", ""))
    fraction = (match["fraction"] or "").rstrip("0")
    return match["sign"] + f"(?:{match['zeros']})?" + digits + (rf"\.{fraction}0*" if fraction else r"(?:\.0+)?")
