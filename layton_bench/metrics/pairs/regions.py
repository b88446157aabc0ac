"""Metrics of what is inside parts of an image: found on the reference, compared on both.

The parts (lines of text, faces) are looked for on the reference alone; the same parts are then cut
from the candidate, so a part that the reconstruction has ruined counts as ruined rather than as
absent. The value is a ratio of sums over all images: characters read rightly over characters, the
sum of similarities over the number of faces. Images without a part weigh nothing.
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
"""One (part of the sum, weight) a sample; weight 0 where there is nothing to compare."""


class RatioMetric:
    """Σ parts / Σ weights over samples, with the interval of value + influence over samples.

    Args:
        name: the metric's id and its column in samples.parquet.
        score: batch → one pair a sample.
        parts: what is compared, in the plural, for the note (``lines of text``).
    """

    def __init__(self, name: str, score: Score, *, parts: str) -> None:
        self.name = name
        self._score = score
        self._parts = parts
        self._pairs: dict[str, tuple[float, float]] = {}

    def update(self, batch: ScoredBatch) -> None:
        """Score each sample of the batch."""
        self._pairs.update(zip(batch.keys, self._score(batch), strict=True))

    def merge(self, other: Self) -> None:
        """Take in another accumulator's samples."""
        self._pairs.update(other._pairs)

    def state(self) -> State:
        """Keys and pairs, sorted by key."""
        keys = sorted(self._pairs)
        return {
            "keys": np.array(keys, dtype=np.str_),
            "pairs": np.array([self._pairs[key] for key in keys], np.float64).reshape(-1, 2),
        }

    def load_state(self, state: State) -> None:
        """Replace the samples."""
        pairs = [(float(part), float(weight)) for part, weight in state["pairs"]]
        self._pairs = dict(zip(map(str, state["keys"]), pairs, strict=True))

    def compute(self) -> MetricValue:
        """The ratio over the samples that have something to compare."""
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
        """One column of the metric's own name; samples without a part have no value."""
        ratios = {key: part / weight for key, (part, weight) in self._pairs.items() if weight > 0}
        return {self.name: ratios}
