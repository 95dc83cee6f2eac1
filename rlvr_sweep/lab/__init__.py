"""The embedded world: tiny true Hugging Face models, pretrained by us on arithmetic written as code and as language.

    rlvr-sweep lab                       # the families and tasks, and the measured state before any RL
    rlvr-sweep lab build olmo            # the same weights again, from the recipe

`tasks` and `families` are light (no torch); `pretraining` and `measure` import torch inside their functions.
"""
