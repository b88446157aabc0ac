"""Everything random in training, as a function of a sample's seed and of its purpose.

The data set gives each sample its seed. No generator is kept between steps, so a resumed run needs
no saved state to draw the same. A sample draws the same in any batch and on any process.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["derive", "sample_mask", "sample_noise", "sample_timesteps"]


def derive(*parts: int | str) -> int:
    """A seed 0 … 2⁶³ − 1 from numbers and words."""
    text = "\x1f".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def sample_noise(seeds: Tensor, shape: Sequence[int], *, purpose: str) -> Tensor:
    """Unit Gaussian noise (B, *shape) float32, each sample's from its own seed, drawn on the CPU.

    Args:
        seeds: (B,) int64.
        shape: of one sample.
        purpose: draws of different purposes are independent.
    """
    if seeds.is_meta:
        return torch.empty(len(seeds), *shape, device="meta")
    generator = torch.Generator()
    rows = [
        torch.randn(*shape, generator=generator.manual_seed(derive(seed, purpose)), device="cpu")
        for seed in seeds.tolist()
    ]
    return torch.stack(rows).to(seeds.device)


def sample_timesteps(seeds: Tensor, low: int, high: int, *, purpose: str) -> Tensor:
    """Uniform integers low … high − 1, (B,) int64, each from its sample's seed."""
    if seeds.is_meta:
        return torch.empty_like(seeds)
    drawn = [_generator(seed, purpose).integers(low, high) for seed in seeds.tolist()]
    return torch.tensor(drawn, dtype=torch.int64, device=seeds.device)


def sample_mask(seeds: Tensor, probability: float, *, purpose: str) -> Tensor:
    """Bool (B,), True with that probability, each from its sample's seed."""
    if seeds.is_meta:
        return torch.empty_like(seeds, dtype=torch.bool)
    drawn = [_generator(seed, purpose).random() < probability for seed in seeds.tolist()]
    return torch.tensor(drawn, dtype=torch.bool, device=seeds.device)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive(seed, purpose))
