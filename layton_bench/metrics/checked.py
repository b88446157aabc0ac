"""A metric behind a guard: what it returns is what the contract says, or a PluginError.

An outsider's metric may raise anything and return anything. Everything that the harness calls goes
through here, so that one metric costs at most itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from layton_bench.errors import guarded
from layton_bench.metrics.base import Explains, Metric, State
from layton_bench.types import MetricValue, ScoredBatch


class CheckedMetric:
    """Passes every call on to a metric, and checks the result.

    Each method raises PluginError if the metric raises, or returns another type.

    Args:
        metric: the accumulator.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def update(self, batch: ScoredBatch) -> None:
        """Take a batch in."""
        with guarded():
            self.metric.update(batch)

    def merge(self, other: CheckedMetric) -> None:
        """Take in everything that another accumulator has seen."""
        with guarded():
            self.metric.merge(other.metric)

    def state(self) -> State:
        """Return everything seen so far, as arrays of numbers, truth values or texts."""
        with guarded():
            state = self.metric.state()
            _expect(state, Mapping, "state")
            return {str(name): _array(name, array) for name, array in state.items()}

    def load_state(self, state: State) -> None:
        """Replace what was seen."""
        with guarded():
            self.metric.load_state(state)

    def compute(self) -> MetricValue:
        """Return the value over all samples seen; a NaN becomes None."""
        with guarded():
            found = self.metric.compute()
            _expect(found, MetricValue, "compute")
            value = _number(found.value, "value")
            note = found.note if isinstance(found.note, str) else str(found.note)
            if value is not None and math.isnan(value):
                value, note = None, note or "not a number"
            return MetricValue(
                value=value,
                n=int(found.n),
                low=_bound(found.low, "low") if value is not None else None,
                high=_bound(found.high, "high") if value is not None else None,
                std=_bound(found.std, "std"),
                note=note,
                influence=_column("influence", found.influence),
            )

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return column name → sample key → value; the values are checked by ``columns``."""
        with guarded():
            columns = self.metric.per_sample()
            _expect(columns, Mapping, "per_sample")
            for column in columns.values():
                _expect(column, Mapping, "per_sample")
            return columns

    def per_sample_texts(self) -> Mapping[str, Mapping[str, str]]:
        """Return column name → sample key → text; empty for a metric that explains nothing."""
        with guarded():
            if not isinstance(self.metric, Explains):
                return {}
            columns = self.metric.per_sample_texts()
            _expect(columns, Mapping, "per_sample_texts")
            return {
                str(name): {str(key): str(text) for key, text in column.items()}
                for name, column in columns.items()
            }

    def columns(self) -> dict[str, dict[str, float]]:
        """Return the values of ``per_sample``, each of them checked."""
        with guarded():
            return {str(name): _column(name, c) for name, c in self.per_sample().items()}


def _expect(found: object, kind: type, what: str) -> None:
    if not isinstance(found, kind):
        raise TypeError(f"{what} returned {type(found).__name__}, expected {kind.__name__}")


def _number(found: object, what: str) -> float | None:
    if found is None:
        return None
    if not isinstance(found, Real) or isinstance(found, bool):
        raise TypeError(f"{what} is {type(found).__name__}, expected a number")
    return float(found)


def _bound(found: object, what: str) -> float | None:
    """Return a number, or None for one that is not a number."""
    value = _number(found, what)
    return None if value is None or math.isnan(value) else value


def _column(name: object, column: Mapping[Any, Any]) -> dict[str, float]:
    _expect(column, Mapping, str(name))
    values = {}
    for key, found in column.items():
        value = _number(found, f"'{name}' of sample '{key}'")
        values[str(key)] = math.nan if value is None else value
    return values


def _array(name: object, array: object) -> np.ndarray[Any, Any]:
    found = np.asarray(array)
    if found.dtype.kind not in "biufU":
        raise TypeError(f"state '{name}' is an array of {found.dtype}")
    return found
