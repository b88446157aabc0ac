"""Weights drawn by the recipe of the golden data: any name and shape, the same on every machine."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping

import numpy as np
import torch


def seeded(shapes: Mapping[str, tuple[int, ...]], seed: int = 20240) -> dict[str, torch.Tensor]:
    """A state dict; each entry depends on its name, its shape and the seed alone."""
    return {name: torch.from_numpy(_draw(name, shape, seed)) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    state = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    if name.endswith("running_var"):
        return (0.5 + state.random_sample(shape)).astype(np.float32)
    normal = state.standard_normal(shape)
    if name.endswith(("running_mean", "bn.bias")):
        drawn = 0.1 * normal
    elif name.endswith("bn.weight"):
        drawn = 1 + 0.1 * normal
    elif name == "fc.weight" or name.endswith("bias"):
        drawn = 0.05 * normal
    else:
        drawn = normal * np.sqrt(2 / np.prod(shape[1:]))
    return np.asarray(drawn, np.float32)


def digest(state: Mapping[str, torch.Tensor], *, without: str = "") -> str:
    """SHA-256 over the sorted names, without a prefix, each followed by its bytes."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.removeprefix(without).encode())
        found.update(state[name].numpy().tobytes())
    return found.hexdigest()
