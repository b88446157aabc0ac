"""A metric that sees each batch in another view: other rounding, or another decode seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from layton_bench.metrics.base import Fails, Metric
from layton_bench.metrics.state import State
from layton_bench.types import MetricValue, ScoredBatch


class Viewed:
    """Passes ``view(batch)`` to a metric.

    Args:
        metric: the accumulator.
        view: batch → the batch that the metric sees. If several metrics share a view, compute it
            with ``batch.shared``.
    """

    def __init__(self, metric: Metric, view: Callable[[ScoredBatch], ScoredBatch]) -> None:
        self.metric = metric
        self._view = view

    def update(self, batch: ScoredBatch) -> None:
        """Add the samples of a batch, in the view."""
        self.metric.update(self._view(batch))

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why the metric has no value."""
        return self.metric.failures if isinstance(self.metric, Fails) else {}

    def merge(self, other: Self) -> None:
        """Add all samples that the other metric has seen."""
        self.metric.merge(other.metric)

    def state(self) -> State:
        """Return the metric's state."""
        return self.metric.state()

    def load_state(self, state: State) -> None:
        """Replace everything seen by a state."""
        self.metric.load_state(state)

    def compute(self) -> MetricValue:
        """Return the metric's value."""
        return self.metric.compute()

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return nothing, because the columns of several views would have the same name."""
        return {}
