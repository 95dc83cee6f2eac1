"""Evaluation: how a benchmark is sampled (sampling.py), the rows it leaves (rows.py), what they say and how surely
(statistics.py), and the facts of one benchmark at one step (summary.py).
"""
