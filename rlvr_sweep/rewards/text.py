"""Facts about a completion's text that rewards and metrics share: does it speak of Python, box anything, repeat itself.

has_code(text), has_box(text), repeats(text)
"""

import re

_BRACE = re.compile(r"\\boxed\s*\{|\\[{}]|[{}]")


def has_code(text: str) -> bool:
    """The papers' sign of code reasoning: "python" in any case (spurious_rewards 4.1)."""
    return "python" in text.lower()


def has_fenced_code(text: str) -> bool:
    """A Markdown fence that names Python: "```python" in any case."""
    return "```python" in text.lower()


def boxes(text: str) -> list[str]:
    """What complete `\\boxed{...}` hold, in the order they close. One pass; `\\{` and `\\}` are no braces."""
    found, opened = [], []  # of each open brace: where its box begins, or None if it is no box
    first = text.find(r"\boxed")
    for match in _BRACE.finditer(text, first) if first >= 0 else ():
        token = match.group()
        if token == "}":
            start = opened.pop() if opened else None
            if start is not None:
                found.append(text[start : match.start()])
        elif token == "{":
            opened.append(None)
        elif token.endswith("{") and token.startswith(r"\boxed"):
            opened.append(match.end())
    return found


def has_box(text: str) -> bool:
    """At least one complete `\\boxed{...}` that holds more than blanks."""
    return any(content.strip() for content in boxes(text))


def after_last_box(text: str) -> str:
    """What follows the last "boxed": its balanced braces (to the end, if they never close), else up to a "$"; or ""."""
    _, found, rest = text.rpartition("boxed")
    if not found:
        return ""
    if not rest.startswith("{"):
        return rest.split("$")[0].strip()
    depth = 0
    for at, char in enumerate(rest):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return rest[1:at].strip()
    return rest[1:].strip()


def repeats(text: str, *, times: int = 11, shortest: int = 1, longest: int | None = None) -> bool:
    """Whether some string of `shortest` to `longest` characters stands `times` times in a row (defaults: the paper's
    "more than 10 times").

    A string of length p stands `times` times in a row exactly where text[i] == text[i + p] holds for (times - 1) * p
    consecutive i. One vector comparison and one byte search a period; a long period is looked into only where 8
    characters at one of a few places repeat, one of which every such run holds.
    """
    import numpy as np  # here, not above: the command line imports the rewards' parameters at start-up

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    last = len(text) // times
    for period in range(shortest, (last if longest is None else min(last, longest)) + 1):
        run = (times - 1) * period
        places = range(0, len(text) - period, run - 7) if period > 50 else ()
        if places and not any(text[i : i + 8] == text[i + period : i + period + 8] for i in places):
            continue
        equal = codes[period:] == codes[:-period]
        if b"\x01" * run in equal.tobytes():
            return True
    return False
