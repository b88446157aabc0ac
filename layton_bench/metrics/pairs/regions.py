"""Metrics of parts of an image, such as lines of text or faces.

Parts are found on the reference alone, and cut from both images. So a part that the reconstruction
has destroyed counts as destroyed, not as absent. The value is a ratio of sums over all images: the
characters that are still read correctly over all characters, or the sum of similarities over the
number of faces. Images without a part have no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from layton_bench.intervals import mean_interval
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from layton_bench.metrics.base import State
    from layton_bench.types import ScoredBatch

Score = Callable[["ScoredBatch"], Sequence[tuple[float, float]]]
"""Batch → (part of the sum, weight) per sample. The weight is 0 if there is nothing to compare."""


class RatioMetric:
    """Σ parts / Σ weights over samples, with the interval of value + influence over samples.

    Args:
        name: the metric's id, and its column in samples.parquet.
        score: batch → one pair per sample.
        parts: what is compared, for the note (``lines of text``).
    """

    def __init__(self, name: str, score: Score, *, parts: str) -> None:
        self.name = name
        self._score = score
        self._parts = parts
        self._pairs: dict[str, tuple[float, float]] = {}

    def update(self, batch: ScoredBatch) -> None:
        """Compute the pair of each sample of a batch."""
        self._pairs.update(zip(batch.keys, self._score(batch), strict=True))

    def merge(self, other: Self) -> None:
        """Add another accumulator's samples."""
        self._pairs.update(other._pairs)

    def state(self) -> State:
        """Return ``keys`` (n,), sorted, and ``pairs`` float64 (n, 2)."""
        keys = sorted(self._pairs)
        return {
            "keys": np.array(keys, dtype=np.str_),
            "pairs": np.array([self._pairs[key] for key in keys], np.float64).reshape(-1, 2),
        }

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state."""
        pairs = [(float(part), float(weight)) for part, weight in state["pairs"]]
        self._pairs = dict(zip(map(str, state["keys"]), pairs, strict=True))

    def compute(self) -> MetricValue:
        """Return the ratio over the samples that have something to compare."""
        used = {key: pair for key, pair in sorted(self._pairs.items()) if pair[1] > 0}
        n = len(self._pairs)
        if not used:
            return MetricValue(value=None, n=n, note=f"no {self._parts} in {n} images")
        parts, weights = np.array(list(used.values()), np.float64).T
        value = float(parts.sum() / weights.sum())
        influence = (parts - value * weights) / weights.mean()
        low, high = mean_interval(value + influence)
        return MetricValue(
            value=value, low=low, high=high, n=len(used),
            note=f"{self._parts} in {len(used)} of {n} images",
            influence=dict(zip(used, influence.tolist(), strict=True)),
        )  # fmt: skip

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return one column, named like the metric. Samples without a part have no value."""
        ratios = {key: part / weight for key, (part, weight) in self._pairs.items() if weight > 0}
        return {self.name: ratios}
