"""KOR-Bench's answer forms, on answers of our own: the right one in several notations, and near misses."""

# ruff: noqa: RUF001 (look-alike signs are among the cases)

import pytest

from rlvr_sweep.grading import rules

CASES: dict[str, list[tuple[str, str, bool, str]]] = {
    "cipher": [
        ("QZWX", "QZWX", True, "equal"),
        ("QZWX", ' "QZ WX" ', True, "equal"),
        ("12,40,7", "12, 40, 7", True, "equal"),
        ("B*I#", "B*I#", True, "equal"),
        ("B*I#", "BI#", False, "wrong_count"),
        ("QZWX", "qzwx", False, "not_equal"),
        ("QZWX", "QZXW", False, "wrong_order"),
        ("QZWX", "QZW", False, "wrong_count"),
        ("QZWX", "the text QZWX", False, "extra_text"),
    ],
    "counterfactual": [
        ("C", "C", True, "equal"),
        ("C", "(c).", True, "equal"),
        ("C", "(C)", True, "equal"),
        ("C", "C.", True, "equal"),
        ("C", "D", False, "not_equal"),
        ("C", "C or D", False, "extra_text"),
        ("C", "C. The fox", False, "extra_text"),
        ("C", "CD", False, "wrong_form"),
    ],
    "logic": [
        ("B", "B", True, "equal"),
        ("[A];[C]", "[A];[C]", True, "equal"),
        ("[A];[C]", "A; C", True, "equal"),
        ("[A];[C]", "[C];[A]", False, "wrong_order"),
        ("[A];[C]", "[A]", False, "wrong_count"),
        ("¬p∨q^r", r"\neg p \lor q \land r", True, "equal"),
        ("¬p∨q", "¬p∨¬q", False, "not_equal"),
        ("p1&~p2", "p1 & ∼p2", True, "equal"),
        ("{p,q∨r}", "{q∨r, p}", True, "equal"),
        ("{p,q∨r}", "{p}", False, "not_equal"),
        ("[I1,O];[+,-];[-,+]", "[I1,O];[-,+];[+,-]", True, "equal"),
        ("[I1,O];[+,-];[-,+]", "[O,I1];[+,-];[-,+]", False, "not_equal"),
        ("[I1,O];[+,-];[-,+]", "[I1,O];[+,+];[-,+]", False, "not_equal"),
        ("[+,+];[-,+]", "[-,+];[+,+]", True, "equal"),
        ("100%", r"100\%", True, "equal"),
        ("[c]open", "[c] open", True, "equal"),
        ("Some apples are not red.", "Some apples are not red", True, "equal"),
        ("Some apples are not red.", "Some apples are red", False, "not_equal"),
    ],
    "operation": [
        ("24", "24", True, "equal"),
        ("24", "25", False, "not_equal"),
        ("24", "x = 24", True, "equal"),
        ("24", "about 24", False, "extra_text"),
        ("24", "24, 24", False, "wrong_count"),
        ("17/6", r"\frac{17}{6}", True, "equal"),
        ("17/6", "2.83", False, "not_equal"),
        ("2or-7/3", r"-\frac{7}{3} or 2", True, "equal"),
        ("2or-7/3", r"-\frac{7}{3} \text{ or } 2", True, "equal"),
        ("2or-7/3", "2", False, "wrong_count"),
        ("2or-7/3", "2 or 7/3", False, "not_equal"),
        ("4e-4", "4(e-1)", True, "equal"),
        ("4e-4", "0.0004", False, "not_equal"),
        ("5-3i", "-3i+5", True, "equal"),
        ("5-3i", "5+3i", False, "not_equal"),
        (r"3x^2+\cos(x)-e^x", r"\cos x-e^x+3x^2", True, "equal"),
        (r"3x^2+\cos(x)-e^x", r"\cos x+e^x+3x^2", False, "not_equal"),
        ("{1,2,4}", "{4, 1, 2}", True, "equal"),
        ("{1,2,4}", "{1,2}", False, "wrong_count"),
        ("{1,2,4}", "1,2,4", False, "wrong_form"),
        ("{a,b}", "{b,a}", True, "equal"),
        ("{x∣x≤2 or x≥5}", "{x | x≥5 or x≤2}", True, "equal"),
        ("{x∣x≤2 or x≥5}", "{x | x>5 or x≤2}", False, "not_equal"),
        ("X≥12", "12 ≤ X", True, "equal"),
        ("X≥12", r"X \geq 12", True, "equal"),
        ("X≥12", "X>12", False, "not_equal"),
        ("X≥12", "X≥13", False, "not_equal"),
        ("x=1,y=2", "y=2, x=1", True, "equal"),
        ("x=1,y=2", "x=2, y=1", False, "not_equal"),
        ("x=1,y=2", "x=1", False, "wrong_form"),
        ("((1,2),(3,4))", "((1, 2), (3, 4))", True, "equal"),
        ("((1,2),(3,4))", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", True, "equal"),
        ("((1,2),(3,4))", "((1,3),(2,4))", False, "wrong_order"),
        ("((1,2),(3,4))", "((1,2),(3,5))", False, "not_equal"),
        ("((1,2),(3,4))", "((1,2,3,4))", False, "wrong_count"),
    ],
    "puzzle": [
        ("s | ness", "ness", True, "equal"),
        ("s | ness", "S", True, "equal"),
        ("s | ness", "nes", False, "not_equal"),
        ("s | ness", "s, ness", False, "extra_text"),
        ("{tea eat}", "eat, tea", True, "equal"),
        ("{tea eat}", "eat tea tea", False, "wrong_count"),
        ("red blue red", "red blue red", True, "equal"),
        ("red blue red", "blue red red", False, "wrong_order"),
        ("red blue red", "red blue sky", False, "not_equal"),
        ("5+3*2-4=7", "3+2*3-2=7", True, "equal"),
        ("5+3*2-4=7", "3+2*3-2", True, "equal"),
        ("5+3*2-4=7", "3+2*3-3=7", False, "not_equal"),
        ("5+3*2-4=7", "3*2+3-2=7", False, "wrong_items"),
        ("5+3*2-4=7", "7", False, "wrong_items"),
        ("(8+6-2)×2", "2*(8+6-2)", True, "equal"),
        ("(8+6-2)×2", "2*(8+6-3)", False, "wrong_items"),
        ("(8+6-2)×2", "2*8+6-2", False, "not_equal"),
        ("4", "4", True, "equal"),
        ("4", "four", False, "wrong_form"),
        ("A=1,B=2", "B=2, A=1", True, "equal"),
        ("A=1,B=2", "A=2, B=1", False, "not_equal"),
        ("A=1,B=2", "A=1, C=2", False, "wrong_items"),
        ("1 2,3 4", "1 2, 3 4", True, "equal"),
        ("1 2,3 4", "1 2\n3 4", True, "equal"),
        ("1 2,3 4", "1 3,2 4", False, "wrong_order"),
        ("1 2,3 4", "1 2 3 4", False, "wrong_count"),
        ("1 12,3 4", "11 2,3 4", False, "not_equal"),
        ("1 1 X,X 1X", "1 1 X, X 1 X", True, "equal"),  # a slip in the gold: a row without a blank
        ("1 1 X,X 1X", "1 1 X, X X 1", False, "not_equal"),
        ("← 2,↑ ↑", "← 2,↑ ↑", True, "equal"),
        ("← 2,↑ ↑", "← 2,↑ ↓", False, "not_equal"),
        ("OAK (1,1)(1,3)\nELM (2,1)(4,1)", "oak: (1, 1) (1, 3)\nelm: (2, 1) (4, 1)", True, "equal"),
        ("OAK (1,1)(1,3)\nELM (2,1)(4,1)", "OAK (1,3)(1,1)\nELM (2,1)(4,1)", False, "not_equal"),
        ("(1,2)(1,3),(2,1)(3,1)", "(2,1)(3,1), (1,3)(1,2)", True, "equal"),
        ("(1,2)(1,3),(2,1)(3,1)", "(1,2)(1,3),(2,1)(3,2)", False, "not_equal"),
    ],
}


@pytest.mark.parametrize("category", rules.KOR)
def test_answer_forms(category: str) -> None:
    judge = rules.find(f"kor/{category}")
    found = [(gold, answer, *judge(gold=gold, answer=answer)) for gold, answer, _, _ in CASES[category]]
    assert found == CASES[category]


@pytest.mark.parametrize("category", rules.KOR)
def test_an_unreadable_gold_is_not_judged(category: str) -> None:
    assert rules.find(f"kor/{category}")(gold='""', answer="5")[0] is None
