r"""The grader's policy, case by case: (gold, answer, correct, note). Every case math-verify 0.9 was seen to get wrong
is here by name.

A note that starts with "pinned:" says what is wrong with today's verdict, or why it is a choice; the others are simply
right. Policies: a decimal is the number it writes (0.333333 is not 1/3) unless it has 12 significant digits or more (a
double that code printed; 10 of them must agree); `50\%` equals 50 and 0.5; units are not compared; brackets say what a
thing is; bare lists are sets.
"""

Case = tuple[str, str | None, bool | None, str]

WRONG_ACCEPTS: list[Case] = [
    ("1/2^{99}", "1/2^{98}", False, "tiny numbers are compared relatively"),
    ("1/2004!", "1/2006!", False, "tiny numbers are compared relatively"),
    ("10^{-7}", "2*10^{-7}", False, "tiny numbers are compared relatively"),
    ("2^{-90}x", "2^{-91}x", False, "also as coefficients"),
    ("0", "10^{-20}", False, "a tiny number is not 0"),
    ("1/3", "0.333333", False, "a decimal is the number it writes"),
    (r"\pi", "3.14159265", False, "a decimal is the number it writes"),
    (r"(\frac{1}{3}, 1)", "(0.333333, 1)", False, "also within a point"),
    ("AB", "BA", False, "capitals are labels"),
    ("BAC", "ABC", False, "capitals are labels"),
    ("(1,2)", r"\{1,2\}", False, "a point is no set"),
    ("(1,2)", "1,2", False, "a point is no list"),
    (r"\{1,2\}", "(1,2)", False, "a set is no point"),
    ("(1,000)", "(1,0)", False, "1,000 is a number"),
    ("3*x-1*y+13=0", "3x+4y+14=0", False, "another line"),
    ("x^2+1=0", "x^2+2=0", False, "equations without a real solution are not all one"),
    ("52_8", "52_9", False, "another base"),
    (r"2 : \sqrt{3} : 1", r"2\sqrt3 : 3 : 1", False, "ratios are compared term by term"),
]

WRONG_REJECTS: list[Case] = [
    ("2024", "2024.", True, "a dot at the end is punctuation"),
    ("5", "5.", True, "a dot at the end is punctuation"),
    ("1000", "1e3", True, "as code prints it"),
    ("5000", r"5\,000", True, "thin space"),
    (r"\frac12", r"\cos 60^\circ", True, "degrees"),
    ("-1", r"e^{i\pi}", True, "complex closed forms"),
    ("5", "|3+4i|", True, "complex closed forms"),
    (r"\sqrt{1/n}", r"1/\sqrt n", True, "equal wherever both are real"),
    (r"(2,\infty)", "x>2", True, "interval and inequality, either way round"),
    ("x>2", r"(2,\infty)", True, "interval and inequality, either way round"),
    ("[2,3]", r"[1,3]\cap[2,4]", True, "set operations are carried out"),
    (r"\{\}", r"\varnothing", True, "two signs for the empty set"),
    (r"\emptyset", r"\varnothing", True, "two signs for the empty set"),
    ("(1,2)", "]1,2[", True, "French brackets"),
    ("[1,2)", "[1,2[", True, "French brackets"),
    (r"a\in(-1,1)", "-1<a<1", True, "membership and inequality"),
    ("-1<a<1", r"a\in(-1,1)", True, "membership and inequality"),
    ("50", r"50\%", True, "pinned: percent, both readings count"),
    (r"50\%", "0.5", True, "pinned: percent, both readings count"),
    (r"50\%", "50", True, "pinned: percent, both readings count"),
    ("0.5", r"50 \text{ percent}", True, "pinned: percent, both readings count"),
    ("50", "0.5", False, "without a percent sign there is one reading"),
    (r"50\%", r"0.5\%", False, "two percentages compare their numbers"),
    ("1/3", "0.3333333333333333", True, "a double that code printed"),
    (r"\frac{\sqrt{2}}{2}", "0.7071067811865476", True, "a double that code printed"),
    (r"\frac{\sqrt{2}}{2}", "0.7071", False, "a rounded value is not the value"),
]

NUMBERS: list[Case] = [
    ("070", "70", True, "AIME writes leading zeros"),
    ("70", "070", True, "either way round"),
    ("142.0", "142", True, "AMC writes decimals"),
    ("142", "142.0", True, "either way round"),
    ("2^{200}", "2^{200}+1", False, "exact at any size"),
    (r"1\frac{4}{5}", r"\frac95", True, "mixed number"),
    (r"137 \frac{1}{2}", "137.5", True, "mixed number"),
    ("1,000,000", "10^6", True, "thousands"),
    (r"10,\!080", "10080", True, "thousands as TeX writes them"),
    ("(1,234)", "(1, 234)", True, "a point, not a thousand"),
    ("1000", "(1,000)", True, "a thousand, not a point"),
    ("100,200", "100, 200", True, "the same list, whatever the comma means"),
    (r"\$32,\!348", "32348", True, "currency"),
    (".35625", "0.35625", True, "decimal without its zero"),
    (r"4 \cdot 7!", "20160", True, "closed forms are computed"),
    (r"\log_2 3", r"\frac{\ln 3}{\ln 2}", True, "closed forms are computed"),
    (r"2\sqrt{3}+1", "1+sqrt(12)", True, "plain text"),
    ("5:19", r"\frac{5}{19}", True, "a ratio is its quotient"),
    (r"2 : \sqrt{3} : 1", r"4 : 2\sqrt3 : 2", True, "a ratio may be scaled"),
    ("0", r"\cos 90^\circ", True, "rounding is not a number"),
    ("7", r"\mathbf{7}", True, "style"),
    ("5", "x=5", True, "an assignment is its right side"),
    ("x=5", "5", True, "an assignment is its right side"),
    ("5", "x=2+3=5", True, "a chain ends in its claim"),
    ("x=5", "y=5", False, "another variable"),
    ("5", r"\infty", False, "infinity is no number"),
    (r"90^\circ", "90", True, "degrees are a unit"),
    (r"864 \mbox{ inches}^2", "864", True, "units are not compared"),
    (r"5 \text{ m}", r"5 \text{ cm}", True, "pinned: units are not compared, even where they differ"),
    ("52_8", "52", True, "pinned: digits are compared; a base only where both write one"),
    ("6", "six", False, "pinned: number words are not read"),
]

COLLECTIONS: list[Case] = [
    ("1,2", "2,1", True, "bare lists are sets"),
    ("1,2", r"\{1,2\}", True, "bare lists are sets"),
    ("(1,2)", "(2,1)", False, "points have an order"),
    ("1,2", r"x=1 \text{ or } x=2", True, "solutions"),
    ("3", "3 or 5", False, "a hedge"),
    ("3, 5", "3", False, "half of the solutions"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19},1-\sqrt{19}", True, "plus-minus is two values"),
    (r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt5, 1+\sqrt 5", True, "plus-minus is two values"),
    (r"(-\infty, 0]", r"(-\infty,0)", False, "closed and open"),
    (r"(0,9) \cup (9,36)", r"(9,36)\cup(0,9)", True, "unions"),
    (r"x \in [-2,7]", "[-2,7]", True, "membership"),
    ("(1,2)", "x=1,y=2", True, "coordinates by name"),
    (
        r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}",
        r"\begin{bmatrix}-\frac13\\\frac23\end{bmatrix}",
        True,
        "matrices",
    ),
    (r"\begin{pmatrix} 1 \\ 200 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 201 \end{pmatrix}", False, "matrices"),
]

FORMULAS: list[Case] = [
    ("(a+5)(b+2)", "(b+2)(a+5)", True, "order of factors"),
    ("ab", "ba", True, "lower-case letters multiply"),
    (r"\cot x", r"\frac{\cos x}{\sin x}", True, "identities"),
    ("x", r"\sqrt{x^2}", False, "not where x is negative"),
    ("y=2x+3", "2x+3", True, "a function is its formula"),
    ("2x-y=0", "4x-2y=0", True, "multiples of an equation"),
    ("x^2+y^2=25", "x^2+y^2=26", False, "another circle"),
    ("5", "x+5", False, "a formula is no number"),
    ("x^2+C", "x^2+K", False, "pinned: constants of integration must have one name"),
    ("x^2=4", r"x=\pm 2", False, "pinned: an equation is not its solutions"),
    ("30x", "2(3)(5)x", True, "math-verify adds numbers in a row: 2(3) would be 5"),
    (r"\frac{1}{2\pi}", r"1/2\pi", True, "pinned: 1/2x is read as 1/(2x), as math-verify does"),
    (r"\frac{7\pi}{3}", r"2\frac{1}{3}\pi", True, "a mixed number before a symbol, which math-verify multiplies"),
    (r"-\sqrt[3]{10}", r"\sqrt[3]{-10}", True, "odd roots of negative numbers are real"),
    (r"\frac{1}{N+1}", "1/(n+1)", True, "pinned: math-verify does not tell N from n"),
]

WORDS: list[Case] = [
    (r"\text{east}", "East", True, "case of words does not count"),
    (r"\text{east}", "west", False, ""),
    (r"\text{(C)}", "C", True, "choices"),
    ("A", "a", False, "case of single letters counts"),
    (r"\text{no solution}", "No solution.", True, ""),
    ("5", r"\text{five}", False, "pinned: number words are not read"),
]

REASONS: list[tuple[str, str | None, bool | None, str]] = [  # here the fourth is the reason
    ("5", None, False, "no_answer"),
    ("5", "", False, "empty"),
    ("5", " $ $ ", False, "empty"),
    ("", "", False, "empty"),
    ("", "5", None, "gold_unparseable"),
    (r"\frac{1}{", "5", None, "gold_unparseable"),
    ("5", r"\frac{1}{", False, "parse_fail"),
    ("5", "1" * 600, False, "too_long"),
    ("5", "9^{9^9}", False, "too_big"),
    ("9^{9^9}", "5", None, "gold_unparseable"),
    ("5", "10^6!", False, "too_big"),
    ("5", r"\int_0^1 10x\,dx", False, "unevaluated"),
    ("5", "5", True, "equal"),
    ("5", "6", False, "not_equal"),
]

ALL = WRONG_ACCEPTS + WRONG_REJECTS + NUMBERS + COLLECTIONS + FORMULAS + WORDS
