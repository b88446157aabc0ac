"""One seed for each picture, from what the picture is: never from batch, order or process."""

from __future__ import annotations

import hashlib


def sample_seed(suite: str, key: str, *, user_seed: int = 0, repeat: int = 0) -> int:
    """Seed of sample ``key`` of a suite, 0 ≤ seed < 2^63.

    The first 63 bits of SHA-256 over the parts, each preceded by its length, so that no two
    different tuples run together.

    Args:
        suite: the suite's name.
        key: the sample's or prompt's key.
        user_seed: what ``--seed`` gave.
        repeat: which of several pictures of one key (image k of a prompt).
    """
    parts = (suite, key, str(user_seed), str(repeat))
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
