"""Weights added from files, and a metric's values over pairs of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from layton_bench.metrics.base import MetricContext
from layton_bench.types import ScoredBatch
from layton_bench.weights import WEIGHTS, WeightsStore


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def store(tmp_path: Path, files: dict[str, dict[str, torch.Tensor]]) -> WeightsStore:
    """A registry without the published digests, with these weights added from files."""
    from layton_bench.weights import WeightsEntry, WeightsFile

    entries = {
        name: WeightsEntry(
            name=name, files=(WeightsFile(path="weights.pth", url="http://x/y"),), licence=""
        )
        for name in [entry.name for entry in WEIGHTS]
    }
    found = WeightsStore(entries, tmp_path / "weights")
    for name, state in files.items():
        torch.save(state, tmp_path / "given.pth")
        found.add(name, tmp_path / "given.pth")
    return found


def values(spec: object, weights: WeightsStore, pair: tuple[torch.Tensor, torch.Tensor]):
    context = MetricContext(features=None, weights=weights.find)  # type: ignore[arg-type]
    metric = spec.make(context)  # type: ignore[attr-defined]
    keys = tuple(f"{i}" for i in range(len(pair[0])))
    metric.update(ScoredBatch(keys=keys, candidates=pair[0], references=pair[1]))
    return metric.per_sample()[spec.name]  # type: ignore[attr-defined]
