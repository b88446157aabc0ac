"""The same samples of two runs as pairs of numbers whose means are to be compared.

A metric of samples gives its values. A metric of sets (FID, KID, CMMD, …) gives, for each sample,
the value of the set plus the sample's influence on it: numbers whose mean is the value, and whose
mean over a resample is the resample's value to first order in 1/n (the infinitesimal jackknife;
Jaeckel 1972, Efron 1982 ch. 6). So one way of resampling pairs serves both. When first order is
good enough: docs/compare.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from layton_bench.errors import NotComparableError
from layton_bench.metrics.base import influence_column
from layton_bench.record import MetricResult, RunRecord, read_samples
from layton_bench.results import StoredRun

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


def paired_table(baseline: StoredRun, now: StoredRun) -> pd.DataFrame:
    """Rows of the samples of both runs; each column twice, as ``NAME_a`` and ``NAME_b``.

    Raises:
        UserError: a table was changed, cut short, or is not there.
    """
    first, second = (read_samples(run.folder, run.record) for run in (baseline, now))
    return first.merge(second, on="key", suffixes=("_a", "_b"))


def has_sample_values(name: str, table: pd.DataFrame) -> bool:
    """Whether the metric has a value of its own for each sample in both runs."""
    return f"{name}_a" in table and f"{name}_b" in table


def paired_values(
    name: str, a: MetricResult, b: MetricResult, table: pd.DataFrame
) -> tuple[Array, Array]:
    """Numbers of each sample in both runs, float64 (n,), finite.

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
    if has_sample_values(name, table):
        values = _columns(table, name)
    elif has_sample_values(influence_column(name), table):
        values = _columns(table, influence_column(name)) + np.array([a.value, b.value])
    else:
        raise _refuse(name, "a metric of the whole set, and no influence of samples was kept")
    finite = values[np.isfinite(values).all(axis=1)]
    if len(finite) < 2:
        raise _refuse(name, f"{len(finite)} samples with finite values in both")
    return finite[:, 0], finite[:, 1]


def _columns(table: pd.DataFrame, name: str) -> Array:
    return np.asarray(table[[f"{name}_a", f"{name}_b"]].to_numpy(dtype=np.float64))


def _refuse(name: str, reason: str) -> NotComparableError:
    return NotComparableError(
        f"metric '{name}'", reason, "Run both with one version, suite and set of metrics."
    )
