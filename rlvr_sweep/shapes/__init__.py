"""Models of the true architectures with random weights: for benchmarks, memory estimates and trials without a download.

python -m rlvr_sweep model=shape/qwen2_5_7b compute=gpu
"""
