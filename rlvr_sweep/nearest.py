"""The nearest known name to a typo, as the end of a message.

nearest("sead", ["seed", "model"])      # "did you mean seed?"
"""

import difflib
from collections.abc import Iterable

SHORT = 20  # so many names may be listed whole


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> str:
    """The nearest known names, as the end of a message: "did you mean a or b?", or the whole list if it is short."""
    options = sorted(set(known))
    close = difflib.get_close_matches(word, options, n=count, cutoff=0.6)
    if not close and "." in word:  # the right leaf under the wrong parent
        leaf = word.rsplit(".", 1)[-1]
        close = [k for k in options if k.rsplit(".", 1)[-1] == leaf][:count]
    if not close:
        by_leaf = {k.rsplit(".", 1)[-1]: k for k in options}
        close = [by_leaf[leaf] for leaf in difflib.get_close_matches(word, list(by_leaf), n=count, cutoff=0.6)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"write one of {', '.join(options)}" if len(options) <= SHORT else "see python -m rlvr_sweep --help"
