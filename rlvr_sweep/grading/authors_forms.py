r"""The three forms in which the grader of the Spurious Rewards authors compares answers, as text (authors.py).

    claimed(r"x = 5 \text{ cm}.")    # "5": what extraction leaves of an answer (spurious_rewards 1.5)
    tex_form(r"\dfrac12")            # r"\frac{1}{2}": for the first comparison (section 5, a)
    plain_form(r"10\% ")             # "10": for the second (section 5, b), and what sympy reads

Written from the description of that grader, not from its code. Its quirks are kept on purpose: a unit is any word of
its list that stands alone, also ``\pm`` (pm, the hour), ``\text{east}``, and the letter a of ``(a+5)``.
"""

import re

# Words that are no part of an answer where they stand alone. The authors' list is not published in words; this one has
# the kinds that are known of it: measures, money, times of day, directions, counted things, and single letters.
_WORDS = (
    "mm cm dm km kg gm mg lb lbs oz ft yd sq cu cc ml mt mph kmph kmh hr hrs sec min yr rs rad deg ohm",
    "millimeter centimeter centimetre meter metre kilometer kilometre inch inches foot feet yard mile acre hectare",
    "gram kilogram pound ounce ton liter litre gallon gal pint quart unit degree square cubic percent",
    "second minute hour day week month year am pm noon cent dollar rupee",
    "east west men man women woman coin apple mark person people",
    "increase decrease more less profit loss per by number ratio",
    "a c d g h l m s t",
)
UNITS = frozenset(" ".join(_WORDS).split())
_UNIT = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    + "|".join(f"{word}s?" if len(word) > 2 else word for word in sorted(UNITS, key=len, reverse=True))
    + r")(?![A-Za-z0-9_])"
)
# What the second comparison leaves out, with a plural and a power behind it.
_MEASURE = re.compile(
    r"(?<![a-z\\])(?:degree|cm|centimeter|meter|mile|second|minute|hour|day|week|month|year|foot|feet|inch|yard)"
    r"(?:es|s)?(?![a-z])\s*(?:\^\s*\{?\d\}?)?",
    re.IGNORECASE,
)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {name: number for number, name in enumerate(_SMALL.split())}
_NUMBERS |= {name: 10 * number for number, name in enumerate(_TENS.split(), 2)}
_POWERS = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_WRAP = re.compile(r"\\(?:text|textbf|textit|textrm|mathbf|mathrm|mathit|mbox)\s*\{([^{}]*)\}")
_LAST_WRAP = re.compile(r"\\(?:text|mbox)\s*\{[^{}]*\}\s*(?:\^\s*\{?\d\}?)?$")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_SIDES = re.compile(r"\\(?:left|right)(?![A-Za-z])")
_AFTER_POINT = re.compile(r"(?<=\d)\.0+(?!\d)")
_ASSIGNED = re.compile(r"(?<![A-Za-z0-9\\_])[xyz]\s*=(?!=)\s*")
_ENCLOSED = re.compile(r"[(\[{]\s*([A-Za-z0-9]+)\s*[)\]}]")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\{[^{}]*\}|[A-Za-z0-9])\s*(\{[^{}]*\}|[A-Za-z0-9])")
_SHORT_ROOT = re.compile(r"\\sqrt\s*([A-Za-z0-9])")
_SLASHED = re.compile(r"(-?\d+)/(-?\d+)")
_FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
_MIXED = re.compile(r"(?<![\d.])(-?)(\d+)\s+(\d+/\d+)(?!\s*\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SIGNS = {
    r"\cdot": "*", r"\times": "*", r"\div": "/", r"\pm": "±", r"\infty": "inf", r"\cup": "U", r"\cap": "∩",
    r"\leq": "≤", r"\le": "≤", r"\geq": "≥", r"\ge": "≥", r"\neq": "≠", r"\ne": "≠", r"\in": "∈",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
MOST_PASSES = 20  # fractions within fractions


def _typeset(text: str) -> str:
    """Without what only changes the look."""
    text = text.replace(r"\!", "").replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _DEGREE.sub("", _SIDES.sub("", text))


def _without_money_and_percent(text: str) -> str:
    return text.replace(r"\$", "").replace("$", "").replace(r"\%", "").replace("%", "")


def _in_digits(text: str) -> str:
    """A text of number words alone as digits ("twenty-five" is 25), any other as it is."""
    words = re.findall(r"[a-z]+", text.lower()) if re.fullmatch(r"[A-Za-z][A-Za-z\s-]*", text) else []
    total = current = 0
    seen = False
    for word in words:
        if word in _NUMBERS:
            current += _NUMBERS[word]
        elif word == "hundred":
            current = max(1, current) * 100
        elif word in _POWERS:
            total, current = total + max(1, current) * _POWERS[word], 0
        elif word != "and":
            return text
        seen = seen or word != "and"
    return str(total + current) if seen else text


def claimed(text: str) -> str:
    """What extraction leaves of an answer. Gold answers are not treated so, which is why some echoes are wrong.

    Units, ``and``, percent and currency signs, ``x=`` and the like go; number words become digits; what is enclosed in
    one pair of brackets and has no sign in it loses them.
    """
    text = re.sub(r"\n\s*", "", text).strip().lstrip(":").strip().rstrip("./").strip()
    text = _typeset(text).replace(r"\{", "{").replace(r"\}", "}")
    text = _LAST_WRAP.sub("", text).strip() or text
    text = _without_money_and_percent(_UNIT.sub("", text))
    text = _in_digits(_WRAP.sub(r"\1", text).strip())
    text = re.sub(r"\band\b", "", _ASSIGNED.sub("", text))
    text = _AFTER_POINT.sub("", text).strip()
    enclosed = _ENCLOSED.fullmatch(text)
    return _tex(enclosed[1] if enclosed else text)


def tex_form(text: str) -> str:
    r"""Canonical LaTeX without blanks: ``\frac12``, ``1/2`` and ``0.5`` are ``\frac{1}{2}``, ``\sqrt3`` is
    ``\sqrt{3}``; degrees, percent and currency signs go, and so do a unit in ``\text{ }`` and a left side of at most
    two signs (``k=5``)."""
    text = _tex(text)
    return r"\frac{1}{2}" if text == "0.5" else text


def _tex(text: str) -> str:
    text = _without_money_and_percent(_typeset(text.replace("\n", "")))
    text = text.partition(r"\text{ ")[0]
    text = re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left.strip()) <= 2:
        text = right
    text = "".join(_SHORT_ROOT.sub(r"\\sqrt{\1}", text).split())
    text = _SHORT_FRACTION.sub(lambda match: rf"\frac{{{match[1].strip('{}')}}}{{{match[2].strip('{}')}}}", text)
    slashed = _SLASHED.fullmatch(text)
    return rf"\frac{{{slashed[1]}}}{{{slashed[2]}}}" if slashed else text


def plain_form(text: str) -> str:
    """Lower-case plain text without blanks, braces, units, percent and currency signs; whole numbers in one spelling.

    Fractions and roots are written out: ``(x+1)/2``, ``sqrt(2)``; a mixed number is a sum.
    """
    text = _without_money_and_percent(_typeset(text))
    for word, power in _POWERS.items():
        text = re.sub(rf"\s*\b{word}s?\b", f"*10^{len(str(power)) - 1}", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:or|and)\b", ",", _MEASURE.sub("", _WRAP.sub(r"\1", text)))
    text = _MIXED.sub(lambda match: f"{match[1]}({match[2]}+{match[3]})", _THOUSANDS.sub("", _plain(text)))
    text = "".join(text.split()).replace("{", "").replace("}", "").replace("**", "^").lower()
    whole = re.fullmatch(r"(-?)0*(\d+)(?:\.0*)?", text)
    return whole[1] + whole[2] if whole else text


def _grouped(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"-?[A-Za-z0-9.]*", text) else f"({text})"


def _written(match: re.Match[str]) -> str:
    """A fraction in plain text, set apart from what stands before it: a digit makes it a mixed number, a letter a
    product."""
    before = match.string[match.start() - 1 : match.start()]
    sign = " " if before.isdigit() else "*" if before.isalpha() or before in (")", "}") else ""
    return f"{sign if before else ''}{_grouped(match[1])}/{_grouped(match[2])}"


def _plain(text: str) -> str:
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SHORT_FRACTION.sub(lambda match: rf"\frac{{{match[1].strip('{}')}}}{{{match[2].strip('{}')}}}", text)
    for _ in range(MOST_PASSES):
        before = text
        text = _ROOT.sub(r"sqrt(\1)", _WRAP.sub(r"\1", text))
        text = _FRACTION.sub(_written, text)
        if text == before:
            break
    text = text.replace(r"\,", " ").replace(r"\ ", " ").replace(r"\{", "{").replace(r"\}", "}")
    return _COMMAND.sub(lambda match: _SIGNS.get(match[0], match[1]), text)
