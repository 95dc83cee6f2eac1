"""Which versions of vLLM go with which TRL and torch, as their releases say.

TRL_VLLM         # ">=0.22,<0.32"
"""

# vLLM's wheels are built against one torch each. (from, below) -> torch
VLLM_TORCH = {("0.24", "0.27"): "2.11", ("0.28", "0.32"): "2.13", ("0.33", "0.34"): "2.14"}
TRL_VLLM = ">=0.22,<0.32"  # what TRL 1.16 speaks to
INSTALL_VLLM = "DEVICE=gpu-vllm make setup, or: pip install 'torch==2.11.*' 'vllm==0.26.*'"
