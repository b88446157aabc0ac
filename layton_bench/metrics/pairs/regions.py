"""Metrics of parts of an image, such as lines of text or faces.

Parts are found on the reference alone, and cut from both images. So a part that the reconstruction
has destroyed counts as destroyed, not as absent. The value is a ratio of sums over all images: the
characters that are still read correctly over all characters, or the sum of similarities over the
number of faces. Images without a part have no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from layton_bench.intervals import mean_interval
from layton_bench.metrics.sample_rows import SampleRows, joined
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from layton_bench.metrics.state import State
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
        self._rows = SampleRows(name, ["parts", "weights"])

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why there is no value."""
        return self._rows.failures.reasons

    def update(self, batch: ScoredBatch) -> None:
        """Compute the pair of each sample of a batch."""
        self._rows.update(batch, self._score)

    def merge(self, other: Self) -> None:
        """Add another accumulator's samples."""
        self._rows.merge(other._rows)

    def state(self) -> State:
        """Return ``keys`` (n,), sorted, ``parts`` and ``weights`` float64 (n,), and failures."""
        return self._rows.state()

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state."""
        self._rows.load_state(state)

    def compute(self) -> MetricValue:
        """Return the ratio over the samples that have something to compare."""
        parts, weights = self._rows.column("parts"), self._rows.column("weights")
        n, failed = len(self._rows), self._rows.note()
        used = weights > 0
        if not used.any():
            note = joined(f"no {self._parts} in {n} images", failed)
            return MetricValue(value=None, n=n, note=note)
        parts, weights = parts[used], weights[used]
        value = float(parts.sum() / weights.sum())
        influence = (parts - value * weights) / weights.mean()
        low, high = mean_interval(value + influence)
        keys = (key for key, is_used in zip(self._rows.keys(), used, strict=True) if is_used)
        note = f"{self._parts} in {len(parts)} of {n} images"
        return MetricValue(
            value=value, low=low, high=high, n=len(parts),
            note=joined(note, failed),
            influence=dict(zip(keys, influence.tolist(), strict=True)),
        )  # fmt: skip

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return one column, named like the metric. Samples without a part have no value."""
        parts, weights = self._rows.by_key("parts"), self._rows.by_key("weights")
        return {self.name: {key: parts[key] / w for key, w in weights.items() if w > 0}}
