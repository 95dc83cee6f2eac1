"""The embedded world: tiny true Hugging Face models, pretrained by us on arithmetic written in two strategies, code and language.

`tasks` and `families` are light (no torch); `pretraining` and `measure` import torch inside their functions.
"""
