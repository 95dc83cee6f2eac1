"""Random draws from a hash of what they are for, not from a stream: the same after a resume, an eval, on any rank.

draw(seed, "reward", row_id, rollout, slot)      # an int of 63 bits
uniform(seed, "reward", row_id, rollout, slot)   # a float in [0, 1)
"""

import hashlib

BITS = 63


def draw(seed: int, purpose: str, *keys: str | int) -> int:
    """An integer in [0, 2**63), a pure function of its arguments."""
    text = "\x1f".join([str(seed), purpose, *(str(key) for key in keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def uniform(seed: int, purpose: str, *keys: str | int) -> float:
    """A float in [0, 1), a pure function of its arguments."""
    return (draw(seed, purpose, *keys) >> 10) / 2**53
