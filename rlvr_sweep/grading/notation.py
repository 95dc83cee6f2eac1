r"""One spelling for the many ways to write the same answer: LaTeX spacing, thousands, units, brackets, words. Pure
string work.

normalise(r"\left( 3,\ \dfrac{\pi}{2} \right)")     # "(3, \frac{\pi}{2})"
split("{1, 2}")                                     # Parts(kind="{}", items=("1", "2"))
"""

import re
from functools import lru_cache
from typing import NamedTuple

_GLYPHS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u00f7": "/",
        "\u03c0": r"\pi ", "\u221a": r"\sqrt ", "\u221e": r"\infty ", "\u2264": r"\le ", "\u2265": r"\ge ",
        "\u00b1": r"\pm ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2205": r"\emptyset ", "\u2208": r"\in ",
        "\u00b0": r"^\circ ", "\u00b2": "^2", "\u00b3": "^3", "\u00bd": r"\frac{1}{2}", "\u00bc": r"\frac{1}{4}",
        "\u00be": r"\frac{3}{4}", "\u00a0": " ", "\u202f": r"\,", "\u2009": r"\,",
    }
)  # fmt: skip
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"))
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:left|right)(?![A-Za-z])\s*\.?", ""),  # \left. and \right. are brackets that are not drawn
        (r"\\(?:bigg?[lr]?|Bigg?[lr]?|displaystyle|textstyle|limits)(?![A-Za-z])\s*", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"(?<=\d)(?:\{,\}|,\\!|\\!,)\s*(?=\d{3})", ""),  # digit grouping as TeX writes it: 10{,}080 and 10,\!080
        (r"(?<=\d)(?:\\[,;: ]|~)+(?=\d{3}(?!\d))", ""),  # 5\,000
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\(?:[,;: ]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|~", " "),
        (r"\\(?:cdot|times)(?![A-Za-z])", "*"),
        (r"\*\*", "^"),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\(?:varnothing)(?![A-Za-z])", r"\\emptyset"),
        (r"\\(?:leq|leqslant)(?![A-Za-z])|<=", r"\\le"),
        (r"\\(?:geq|geqslant)(?![A-Za-z])|>=", r"\\ge"),
        (r"\\degree(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ"),
        (r"\\(?:text|mbox|mathrm|textrm)\s*\{\s*(?:or|and|,)\s*\}", ","),
        (r"(?<=[\d})])\s+(?:or|and)\s+(?=[-\\\d({a-z])", ", "),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\%|(?<=\d)\s*(?:\\(?:text|mbox|mathrm)\s*\{\s*)?per ?cent\s*\}?$", "%"),
        (r"\\\$|(?<![\\\w])\$(?=\s*\.?\d)", ""),
        (r"_\s*\{\s*\(?(\d+)\)?\s*\}|_\((\d+)\)", r"_\1\2"),  # number bases: 52_{8}, 52_{(8)}
        (r"\s+", " "),
    )
)
_UNIT_WORDS = (
    "degrees?|radians?|inch(?:es)?|feet|foot|ft|yards?|miles?|mph|cm|mm|km|kg|mg|ml|meters?|metres?|centimeters?|kilometers?|liters?|"
    "grams?|pounds?|lbs?|ounces?|oz|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|dollars?|cents?|units?|"
    "square (?:units?|feet|inches|meters|cm|miles)|cubic (?:units?|feet|inches|meters|cm)|people|students|points?|ways"
)
_POWER = r"(?:\s*\^\s*(?:\d|\{\d\}))?"
_TRAILING_UNIT = re.compile(
    rf"(?<=[\d)}}%])\s*(?:\\(?:text|mbox|mathrm|textrm|textbf)\s*\{{[^{{}}\d]*\}}{_POWER}|(?:{_UNIT_WORDS})\b{_POWER})$"
)
_DEGREES = re.compile(r"(?<=[\d)}])\s*\^\s*\\circ$")
_TRIGONOMETRY = re.compile(r"sin|cos|tan|cot|sec|csc")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textrm|textbf|textit|mathbf|operatorname)\s*\{([^{}]*)\}")
_STYLED_NUMBER = re.compile(r"\\(?:text|textbf|mathbf|mathrm|mbox|bf)\s*\{([^{}A-Za-z]*\d[^{}A-Za-z]*)\}")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"-?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_BRACKETED = re.compile(r"^(?P<open>\\\{|[(\[\]])(?P<inside>.*)(?P<close>\\\}|[)\[\]])$", re.DOTALL)
_DEPTH = re.compile(r"\\\{|\\\}|[(\[{}\])]")
_WORDS = re.compile(r"[A-Za-z]+(?:(?:[ ']|(?<=[A-Za-z]{2})-(?=[A-Za-z]{2}))[A-Za-z]+)*")


class Parts(NamedTuple):
    """An answer taken apart at its top-level commas. `kind`: "" for one bare value, "," for a bare list, else the
    pair of brackets."""

    kind: str
    items: tuple[str, ...]


class Word(NamedTuple):
    """An answer that is a word or a label. `label`: its letters are names (a choice, vertices), so case and order
    count."""

    text: str
    label: bool
    quoted: bool  # it stood within \text{}, so its letters cannot be a product of variables


def balanced(text: str) -> bool:
    """Whether the brackets of `text` never close more than they opened and all close (kinds of round and square may
    mix: ``[1,2)``)."""
    depth = 0
    for token in _DEPTH.findall(text):
        depth += 1 if token in "([{" or token == r"\{" else -1
        if depth < 0:
            return False
    return depth == 0


def commas(text: str) -> list[str]:
    """`text` cut at the commas (and semicolons) outside all brackets; each item stripped."""
    items, depth, begin = [], 0, 0
    for match in re.finditer(r"\\\{|\\\}|[(\[{}\]),;]", text):
        token = match.group()
        if token in ",;":
            if depth == 0:
                items.append(text[begin : match.start()].strip())
                begin = match.end()
        else:
            depth += 1 if token in "([{" or token == r"\{" else -1
    return [*items, text[begin:].strip()]


def strip_unit(text: str) -> str:
    r"""`text` without a trailing unit (``5 \text{ cm}^2``, ``12 dollars``, ``90^\circ``): units are not compared."""
    text = _TRAILING_UNIT.sub("", text)
    return (text if _TRIGONOMETRY.search(text) else _DEGREES.sub("", text)).strip()


@lru_cache(maxsize=1 << 14)
def normalise(text: str) -> str:
    r"""The one spelling of an answer. Idempotent on its own results but for nested wrappers; never raises.

    A comma is a thousands separator where it must be (``1,000``; within brackets only where a group starts with 0, as
    in ``(1,000)``: ``(1,234)`` is a point), a dot at the end is punctuation, ``]1,2[`` is written ``(1,2)``.
    """
    text = text.strip().translate(_GLYPHS)
    for _ in range(2):
        for left, right in _WRAPPERS:
            if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
                inside = text[len(left) : -len(right)]
                text = inside.strip() if left not in inside else text
    boxed = re.fullmatch(r"\\(?:boxed|fbox)\s*\{(.*)\}", text, re.DOTALL)
    if boxed and balanced(boxed[1]):
        text = boxed[1]
    if styled := _STYLED_NUMBER.fullmatch(text):
        text = styled[1]
    for pattern, by in _REWRITES:
        text = pattern.sub(by, text)
    text = re.sub(r"\s*(?<!\.)[.;,:]$", "", text.strip()).strip()
    text = _join_thousands(text)
    outer = _BRACKETED.match(text)
    if outer and "," in outer["inside"] and balanced(outer["inside"]):
        opened, closed = outer["open"], outer["close"]
        if opened != r"\{" and closed != r"\}" and (opened == "]" or closed == "["):
            text = f"{'(' if opened == ']' else opened}{outer['inside']}{')' if closed == '[' else closed}"
    return strip_unit(text)


def _join_thousands(text: str) -> str:
    if _SPACED_THOUSANDS.fullmatch(text):
        return text.replace(" ", "")
    bracketed = _BRACKETED.match(text) is not None

    def join(match: re.Match[str]) -> str:
        groups = match.group().split(",")
        return match.group() if bracketed and not any(g[0] == "0" for g in groups[1:]) else "".join(groups)

    return _THOUSANDS.sub(join, text)


@lru_cache(maxsize=1 << 14)
def split(text: str) -> Parts:
    r"""A normalised answer taken apart: ``(3,4]`` -> kind ``(]``; ``\{1,2\}`` -> ``{}``; ``1, 2`` -> ``,``; ``(4)``
    and ``7`` -> one bare value."""
    outer = _BRACKETED.match(text)
    if outer and balanced(outer["inside"]):
        inside, kind = outer["inside"], (outer["open"] + outer["close"]).replace("\\", "")
        items = tuple(commas(inside)) if inside.strip() else ()
        if kind == "{}" or len(items) != 1:
            return Parts(kind, items)
        if kind == "()":
            return Parts("", (inside.strip(),))
    items = tuple(commas(text))
    return Parts("," if len(items) > 1 else "", items)


@lru_cache(maxsize=1 << 14)
def word(text: str) -> Word | None:
    r"""The word or label a normalised answer is: ``\text{east}``, ``east``, ``(C)``, ``AB``; None for formulas and
    single lower-case letters."""
    bare = _TEXT.sub(r"\1", text)
    quoted = bare != text
    bare = bare.strip().strip("()").strip()
    if not _WORDS.fullmatch(bare):
        return None
    bare = " ".join(bare.split())
    if len(bare) > 1 or quoted or bare.isupper():
        return Word(bare, label=bare.isupper(), quoted=quoted)
    return None
