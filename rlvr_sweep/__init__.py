"""rlvr_sweep: does an RL-with-verifiable-rewards result hold beyond one model, one reward, one seed?"""

__version__ = "0.1.0"
