"""Damaged photographs beside their originals."""

from __future__ import annotations

import pytest
import torch
from pair_batches import tensor
from pixel_cases import distorted, photo


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    kinds = ("blur2", "noise25", "bright40", "self")
    names = ("astronaut", "chelsea", "coffee", "chelsea")
    candidates = [tensor(distorted(n, k)) for n, k in zip(names, kinds, strict=True)]
    references = [tensor(photo(n)) for n in names]
    return tuple(torch.stack(side)[..., 40:136, 30:142] for side in (candidates, references))
