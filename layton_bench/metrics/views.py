"""A metric that sees another view of each batch: other rounding, another decode seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from layton_bench.metrics.base import Metric, State
from layton_bench.types import MetricValue, ScoredBatch


class Viewed:
    """Passes ``view(batch)`` on to a metric.

    Args:
        metric: the accumulator.
        view: batch → what the metric sees of it; views shared by several metrics should be
            computed through ``batch.shared``.
    """

    def __init__(self, metric: Metric, view: Callable[[ScoredBatch], ScoredBatch]) -> None:
        self.metric = metric
        self._view = view

    def update(self, batch: ScoredBatch) -> None:
        """Take the view of a batch in."""
        self.metric.update(self._view(batch))

    def merge(self, other: Self) -> None:
        """Merge the metrics."""
        self.metric.merge(other.metric)

    def state(self) -> State:
        """The metric's state."""
        return self.metric.state()

    def load_state(self, state: State) -> None:
        """Replace the metric's state."""
        self.metric.load_state(state)

    def compute(self) -> MetricValue:
        """The metric's value."""
        return self.metric.compute()

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Nothing: the columns of several views would have one name."""
        return {}
