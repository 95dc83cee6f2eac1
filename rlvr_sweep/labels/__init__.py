"""Pseudo-labels made before a training: sampled (evals/store.py), voted on (votes.py), audited (audit.py), and written
with where they came from (data/provenance.py). `python -m rlvr_sweep label` is commands.py.
"""
