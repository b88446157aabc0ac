"""The accumulator of all metrics that compare two sets of features."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from layton_bench.metrics.features import FeatureChunk, FeatureRows, serial_of
from layton_bench.metrics.sample_rows import Failures, joined
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.metrics.base import MetricContext
    from layton_bench.metrics.features import Features
    from layton_bench.metrics.state import State
    from layton_bench.types import ScoredBatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FeatureSets:
    """The two sets of features that a metric is computed from.

    Attributes:
        candidates, references: rows float32 (n, D) and (m, D), sorted by key.
        seed: seed of random draws.
    """

    candidates: FeatureChunk
    references: FeatureChunk
    seed: int
    _features: Features

    @property
    def is_paired(self) -> bool:
        """Whether row i of both sets belongs to the same sample, for all i."""
        return self.candidates.keys == self.references.keys

    def influence(
        self, candidates: NDArray[np.float64], references: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """Return the influence of each sample, with mean 0, for ``MetricValue.influence``.

        The influence of a reference is added to that of its candidate. Without pairs, or if
        ``references`` is None, the references are taken as fixed.

        Args:
            candidates: influence of each candidate, float64 (n,).
            references: influence of each reference, float64 (m,).
        """
        total = candidates
        if references is not None and self.is_paired:
            total = candidates + references
        return dict(zip(self.candidates.keys, (total - total.mean()).tolist(), strict=True))

    def once(self, name: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of ``compute``, computed once for all metrics of these sets."""
        sets = [FeatureRows([self.candidates]), FeatureRows([self.references])]
        return self._features.once(name, sets, compute)


class FeatureSetMetric:
    """Collects features by sample, and computes a value from both sets at the end.

    Args:
        context: gives the features.
        backbone, tap: which features.
        value: the metric, a pure function of the two sets.
        min_samples: with fewer samples in either set there is no value but a reason.
        with_references: False if the metric uses the candidates alone.
    """

    def __init__(
        self,
        context: MetricContext,
        *,
        backbone: str,
        tap: str,
        value: Callable[[FeatureSets], MetricValue],
        min_samples: int = 2,
        with_references: bool = True,
    ) -> None:
        self._context = context
        self._of = (backbone, tap)
        self._value = value
        self._min_samples = min_samples
        self._with_references = with_references
        self._candidates = FeatureRows()
        self._references = FeatureRows()
        self._failures = Failures(f"{backbone} {tap}")

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why it is in neither set."""
        return self._failures.reasons

    def update(self, batch: ScoredBatch) -> None:
        """Add the samples of a batch. One whose features are not finite fails alone."""
        for _, (candidates, references) in self._failures.attempt(batch, self._chunks):
            self._candidates.add(candidates)
            if references is not None:
                self._references.add(references)

    def _chunks(self, batch: ScoredBatch) -> tuple[FeatureChunk, FeatureChunk | None]:
        features = self._context.features
        candidates = features.candidates(batch, *self._of)
        if not self._with_references or batch.references is None:
            return candidates, None
        return candidates, features.references(batch, *self._of)

    def merge(self, other: Self) -> None:
        """Add another accumulator's samples."""
        self._candidates.merge(other._candidates)
        self._references.merge(other._references)
        self._failures.merge(other._failures)

    def state(self) -> State:
        """Return keys and rows of both sets; the same arrays for metrics of the same features."""
        state = self._failures.state()
        for name, rows in (("candidates", self._candidates), ("references", self._references)):
            chunk = self._collected(rows)
            state |= {f"{name}_keys": np.array(chunk.keys, dtype=np.str_), name: chunk.rows}
        return state

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state. Its rows are not copied."""
        loaded = (_chunk(state[f"{name}_keys"], state[name]) for name in _SIDES)
        self._candidates, self._references = (FeatureRows([chunk]) for chunk in loaded)
        self._failures.load_state(state)

    def compute(self) -> MetricValue:
        """Return the value over both sets, or the reason why there is none."""
        candidates = self._collected(self._candidates)
        references = candidates
        if self._with_references:
            references = self._collected(self._references)
        failed = self._failures.note(len(candidates.keys))
        fewest = min(len(candidates.keys), len(references.keys))
        if fewest < self._min_samples:
            return MetricValue(
                value=None, n=len(candidates.keys),
                note=joined(f"needs {self._min_samples} samples, has {fewest}", failed),
            )  # fmt: skip
        sets = FeatureSets(candidates, references, self._context.seed, self._context.features)
        value = self._value(sets)
        return replace(value, note=joined(value.note, failed))

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return no columns: the value belongs to the whole set."""
        return {}

    def _collected(self, rows: FeatureRows) -> FeatureChunk:
        return self._context.features.once("collected", (rows,), rows.collect)


_SIDES = ("candidates", "references")


def _chunk(keys: np.ndarray, rows: np.ndarray) -> FeatureChunk:
    held = np.asarray(rows, dtype=np.float32)
    return FeatureChunk(keys=tuple(map(str, keys)), rows=held, serial=serial_of(held))
