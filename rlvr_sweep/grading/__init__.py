r"""Text -> answer -> verdict with a reason. Light to import: math-verify and sympy live in worker processes.

from rlvr_sweep.grading.extraction import extract
from rlvr_sweep.grading.pool import Grader
with Grader() as grader:
    grader.verify([("42", extract(r"... \boxed{42.0}", how="boxed"))])     # [Verdict(correct=True, reason='equal')]
"""
