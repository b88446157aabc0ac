"""The same samples of two runs as pairs of numbers whose means are to be compared.

A mean over samples gives its values. Any other metric of the set (FID, KID, CMMD, ratios, means of
tasks) gives, for each sample, the value of the set plus the sample's influence on it: numbers whose
mean is the value, and whose mean over a resample is the resample's value to first order in 1/n (the
infinitesimal jackknife; Jaeckel 1972, Efron 1982 ch. 6). So one way of resampling pairs serves
both. When first order is good enough: docs/compare.md.

Several pictures of one prompt are one sample here, as they are more alike than those of others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from layton_bench.errors import NotComparableError
from layton_bench.metrics import influence_column
from layton_bench.records import MetricResult, RunRecord, StoredRun, read_samples
from layton_bench.types import prompt_key

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def check_comparable(a: RunRecord, b: RunRecord) -> None:
    """Raise NotComparableError unless both runs saw the same samples of the same suite."""
    for what, first, second in (
        ("suite", a.suite.name, b.suite.name),
        ("suite digest", a.suite_digest[:12], b.suite_digest[:12]),
        ("data contents", a.data.fingerprint[:12], b.data.fingerprint[:12]),
        ("samples left out", _left_out(a), _left_out(b)),
        ("samples done", a.completeness.effective, b.completeness.effective),
    ):
        if first != second:
            raise NotComparableError(
                f"runs {a.run_id} and {b.run_id}",
                f"they differ in {what}: {first} and {second}",
                "Run both on the same suite and data.",
            )


def _left_out(record: RunRecord) -> str:
    failed = sorted(failure.key for failure in record.completeness.failed)
    return ", ".join(failed) or "none"


UNIT = "unit"
"""Column of ``paired_table``: what is resampled as one, the sample's key or its prompt's."""


def paired_table(baseline: StoredRun, now: StoredRun) -> pd.DataFrame:
    """Rows of the samples of both runs; each column twice, as ``NAME_a`` and ``NAME_b``.

    Besides, ``key`` and ``unit``.

    Raises:
        UserError: a table was changed, cut short, or is not there.
    """
    first, second = (read_samples(run.folder, run.record) for run in (baseline, now))
    table = first.merge(second, on="key", suffixes=("_a", "_b"))
    table[UNIT] = table["key"]
    if baseline.record.suite.images_per_prompt > 1:
        table[UNIT] = table["key"].map(prompt_key)
    return table


def has_sample_values(name: str, table: pd.DataFrame) -> bool:
    """Whether the metric has a value of its own for each sample in both runs."""
    return f"{name}_a" in table and f"{name}_b" in table


class Pairs(NamedTuple):
    """Numbers of each unit in both runs, float64 (n,), finite; their means are compared.

    Attributes:
        first: of the first run.
        second: of the second.
        is_linear: whether they are values plus influences, not values of their own.
    """

    first: Array
    second: Array
    is_linear: bool


def paired_values(name: str, a: MetricResult, b: MetricResult, table: pd.DataFrame) -> Pairs:
    """The pairs of a metric.

    Args:
        name: the metric.
        a: its result in the first run.
        b: its result in the second.
        table: of ``paired_table``.

    Raises:
        NotComparableError: the signatures differ, a run has no value, or there are no pairs.
    """
    if a.signature != b.signature:
        raise _refuse(name, f"signatures differ: {a.signature} and {b.signature}")
    if a.value is None or b.value is None:
        raise _refuse(name, a.unavailable or b.unavailable or a.note or b.note or "no value")
    influence = influence_column(name)
    is_linear = has_sample_values(influence, table)
    if is_linear:
        values = _columns(table, influence) + np.array([a.value, b.value])
    elif has_sample_values(name, table):
        values = _columns(table, name)
        if not all(map(_is_mean, values.T, (a.value, b.value))):
            raise _refuse(name, "no mean over samples, and no influence of samples was kept")
    else:
        raise _refuse(name, "a metric of the whole set, and no influence of samples was kept")
    is_finite = np.isfinite(values).all(axis=1)
    units = table[UNIT].to_numpy()[is_finite] if UNIT in table else np.arange(is_finite.sum())
    pooled = _by_unit(values[is_finite], units)
    if len(pooled) < 2:
        raise _refuse(name, f"{len(pooled)} samples with finite values in both")
    return Pairs(pooled[:, 0], pooled[:, 1], is_linear)


def _columns(table: pd.DataFrame, name: str) -> Array:
    return np.asarray(table[[f"{name}_a", f"{name}_b"]].to_numpy(dtype=np.float64))


def _is_mean(values: Array, value: float) -> bool:
    """Whether a metric is the mean of its column, as an infinite one is of infinite values."""
    finite = values[np.isfinite(values)]
    if not (math.isfinite(value) and len(finite)):
        return True
    return math.isclose(float(finite.mean()), value, rel_tol=1e-6, abs_tol=1e-9)


def _by_unit(values: Array, units: NDArray[Any]) -> Array:
    """A row a unit, (G, 2), so weighted that the means over units are those over samples."""
    named, unit = np.unique(units, return_inverse=True)
    if len(named) == len(values):
        return values
    mean = values.mean(axis=0)
    sums = np.zeros((len(named), 2))
    np.add.at(sums, unit, values - mean)
    return np.asarray(mean + sums * len(named) / len(values))


def _refuse(name: str, reason: str) -> NotComparableError:
    return NotComparableError(
        f"metric '{name}'", reason, "Run both with one version, suite and set of metrics."
    )
