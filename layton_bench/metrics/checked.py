"""A metric behind a guard: it returns what the contract says, or raises a PluginError.

A plugin's metric may raise anything and return anything. The harness calls it only through here, so
that a wrong metric costs no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from layton_bench.errors import guarded
from layton_bench.metrics.base import Explains, Fails, Metric
from layton_bench.metrics.sample_rows import joined
from layton_bench.metrics.state import State
from layton_bench.types import MetricValue, ScoredBatch

_METHODS = ("update", "merge", "compute", "per_sample")


class CheckedMetric:
    """Passes every call on to a metric, and checks the result.

    Each method raises PluginError if the metric raises, or returns another type.

    Args:
        metric: the accumulator.
    """

    def __init__(self, metric: Metric) -> None:
        lacking = [name for name in _METHODS if not callable(getattr(metric, name, None))]
        if lacking:
            raise TypeError(f"{type(metric).__name__} is no metric: no {', '.join(lacking)}")
        self.metric = metric

    @property
    def is_resumable(self) -> bool:
        """Whether the metric can be written to a file and read back."""
        return all(callable(getattr(self.metric, name, None)) for name in ("state", "load_state"))

    def update(self, batch: ScoredBatch) -> None:
        """Add the samples of a batch."""
        with guarded():
            self.metric.update(batch)

    def merge(self, other: CheckedMetric) -> None:
        """Add everything that another accumulator has seen."""
        with guarded():
            self.metric.merge(other.metric)

    def state(self) -> State:
        """Return everything seen so far, as arrays of numbers, truth values or texts."""
        with guarded():
            if not self.is_resumable:
                kind = type(self.metric).__name__
                raise TypeError(f"{kind} has no state and load_state: its parts cannot be resumed")
            state = self.metric.state()
            _expect(state, Mapping, "state")
            return {str(name): _array(name, array) for name, array in state.items()}

    def load_state(self, state: State) -> None:
        """Replace everything seen by a state."""
        with guarded():
            self.metric.load_state(state)

    def compute(self) -> MetricValue:
        """Return the value over all samples seen, with numbers that a record can hold."""
        with guarded():
            return _value(self.metric.compute())

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

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why this metric has no value for it."""
        with guarded():
            return self.metric.failures if isinstance(self.metric, Fails) else {}

    def columns(self) -> dict[str, dict[str, float]]:
        """Return the values of ``per_sample``, each of them checked."""
        with guarded():
            return {str(name): _column(name, c) for name, c in self.per_sample().items()}


def _value(found: object) -> MetricValue:
    """Return a value without what a record cannot hold, and say in its note what was left out."""
    _expect(found, MetricValue, "compute")
    assert isinstance(found, MetricValue)
    value, low, high = (_number(getattr(found, n), n) for n in ("value", "low", "high"))
    std, n = _number(found.std, "std"), _count(found.n)
    influence = _column("influence", found.influence)
    notes = [found.note if isinstance(found.note, str) else str(found.note)]
    if value is not None and math.isnan(value):
        value = None
        notes.insert(0, "the metric returned NaN")
    if value is None or low is None or high is None:
        low = high = None
    elif not _contains(low, value, high):
        low = high = None
        notes.append("its interval does not contain the value")
    if std is not None and not math.isfinite(std):
        std = None
        notes.append("its spread is not finite")
    if not all(map(math.isfinite, influence.values())):
        influence = {}
        notes.append("its influences are not finite")
    return MetricValue(
        value=value, n=n, low=low, high=high, std=std, note=joined(*notes), influence=influence
    )


def _contains(low: float, value: float, high: float) -> bool:
    slack = 1e-9 * (1 + abs(value)) if math.isfinite(value) else 0  # ends are rounded too
    return low - slack <= value <= high + slack


def _expect(found: object, kind: type, what: str) -> None:
    if not isinstance(found, kind):
        raise TypeError(f"{what} returned {type(found).__name__}, expected {kind.__name__}")


def _number(found: object, what: str) -> float | None:
    if found is None:
        return None
    if not isinstance(found, Real) or isinstance(found, bool):
        raise TypeError(f"{what} is {type(found).__name__}, expected a number")
    return float(found)


def _count(found: object) -> int:
    number = _number(found, "n")
    if number is None or not number >= 0 or number != math.floor(number):
        raise TypeError(f"n is {number}, expected a number of samples")
    return int(number)


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
