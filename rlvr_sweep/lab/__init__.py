"""The embedded world: tiny true Hugging Face models, pretrained by us on arithmetic written as code and as language.

    python -m rlvr_sweep lab                       # the families and tasks, and the measured state before any RL
    python -m rlvr_sweep lab build olmo            # the same weights again, from the recipe

`tasks` and `families` are light (no torch); `pretraining` and `measure` import torch inside their functions.
"""
