"""Batches of plain arrays, and a pixel metric's value over them."""

from __future__ import annotations

import numpy as np
import torch

from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs import pixel
from layton_bench.types import MetricValue, ScoredBatch

SPECS = {spec.name: spec for spec in pixel.SPECS}


def batch_of(candidates, references, keys=None) -> ScoredBatch:
    """A batch from arrays uint8 (H, W, 3)."""
    stacked = [
        torch.stack([torch.from_numpy(np.array(a)).permute(2, 0, 1) for a in images])
        for images in (candidates, references)
    ]
    keys = tuple(keys or (f"k{i}" for i in range(len(candidates))))
    return ScoredBatch(keys=keys, candidates=stacked[0], references=stacked[1])


def flat(*levels: tuple[int, int, int], side: int = 16) -> list[np.ndarray]:
    return [np.full((side, side, 3), rgb, dtype=np.uint8) for rgb in levels]


def score(name: str, *batches: ScoredBatch, seed: int = 0) -> MetricValue:
    metric = SPECS[name].make(MetricContext(features=None, seed=seed))
    for batch in batches:
        metric.update(batch)
    return metric.compute()
