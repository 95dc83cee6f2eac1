"""What a cell takes on the machine at hand, by phase, beside TRL's stock trainer and the floor of FLOPs and bytes.

python -m rlvr_sweep bench model=shape/qwen2_5_1_5b compute=gpu compute.backend=vllm --mean-tokens 800 --stock
"""
