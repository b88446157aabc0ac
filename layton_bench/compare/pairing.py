"""Pair the samples of two runs: two numbers per sample, whose means are compared.

A metric that is a mean over samples gives its per-sample values. Other metrics (FID, KID, CMMD,
ratios, means of tasks) give, per sample, the value of the set plus the sample's influence on it.
The mean of these numbers is the value. Their mean over a resample is the resample's value to first
order in 1/n (the infinitesimal jackknife; Jaeckel 1972, Efron 1982 ch. 6). So both kinds are
compared in the same way. docs/compare.md says when first order is good enough.

Several images of one prompt count as one sample, because they are similar to each other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from layton_bench.errors import NotComparableError
from layton_bench.metrics import influence_column
from layton_bench.records import (
    REFERENCE_DIGEST,
    MetricResult,
    RunRecord,
    StoredRun,
    read_samples,
    why_not_comparable,
)
from layton_bench.types import prompt_key

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def check_comparable(a: RunRecord, b: RunRecord) -> None:
    """Raise NotComparableError unless both runs have the same samples of the same suite."""
    reason = why_not_comparable(a, b)
    if reason is not None:
        raise NotComparableError(
            f"runs {a.run_id} and {b.run_id}", reason, "Run both on the same suite and data."
        )


UNIT = "unit"
"""Column of ``paired_table``: the key of the sample, or of its prompt."""


def paired_table(baseline: StoredRun, now: StoredRun) -> pd.DataFrame:
    """Return one row per sample of both runs: ``key``, ``unit``, and ``NAME_a``, ``NAME_b``.

    Raises:
        UserError: a table is missing, damaged or edited; or the samples do not pair.
    """
    first, second = (read_samples(run.folder, run.record) for run in (baseline, now))
    return pair_samples(first, second, baseline.record)


def pair_samples(first: pd.DataFrame, second: pd.DataFrame, record: RunRecord) -> pd.DataFrame:
    """Return ``paired_table`` of two sample tables; ``record`` is of either run.

    Raises:
        NotComparableError: a key stands for another reference in the other run, or no key is in
            both.
    """
    table = first.merge(second, on="key", suffixes=("_a", "_b"))
    _check_pairs(table, first, second)
    table[UNIT] = table["key"]
    if record.suite.images_per_prompt > 1:
        table[UNIT] = table["key"].map(prompt_key)
    return table


def _check_pairs(table: pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame) -> None:
    if table.empty and len(first) and len(second):
        raise NotComparableError(
            "the runs",
            "they have no sample key in common (the first keys are"
            f" '{first['key'].iloc[0]}' and '{second['key'].iloc[0]}')",
            "Give both runs files with the same names.",
        )
    a, b = (table.get(f"{REFERENCE_DIGEST}_{run}") for run in "ab")
    if a is None or b is None:  # a record of an older version has none
        return
    others = table["key"][a.notna() & b.notna() & (a != b)]
    if len(others):
        raise NotComparableError(
            "the runs",
            f"{len(others):,} of {len(table):,} samples have the same key but another reference"
            f" ('{others.iloc[0]}' is the first)",
            "Run both on the same data.",
        )


def has_sample_values(name: str, table: pd.DataFrame) -> bool:
    """Whether both runs have per-sample values of the metric."""
    return f"{name}_a" in table and f"{name}_b" in table


class Pairs(NamedTuple):
    """One number per unit in each run, float64 (n,), not nan. Their means are compared.

    Attributes:
        first: numbers of the first run; infinite for an exact sample (PSNR).
        second: numbers of the second run.
        is_linear: whether the numbers are values plus influences.
        num_undefined: number of samples that have no value in one of the runs.
    """

    first: Array
    second: Array
    is_linear: bool
    num_undefined: int = 0


def paired_values(name: str, a: MetricResult, b: MetricResult, table: pd.DataFrame) -> Pairs:
    """Return the pairs of a metric.

    Args:
        name: the metric.
        a: its result in the first run.
        b: its result in the second run.
        table: the result of ``paired_table``.

    Raises:
        NotComparableError: the signatures differ, a value is missing, or there are no pairs.
    """
    if a.signature != b.signature:
        raise _refuse(name, f"signatures differ: {a.signature} and {b.signature}")
    if a.value is None or b.value is None:
        raise _refuse(name, a.unavailable or b.unavailable or a.note or b.note or "no value")
    influence = influence_column(name)
    is_linear = has_sample_values(influence, table)
    if is_linear:
        if not (math.isfinite(a.value) and math.isfinite(b.value)):
            raise _refuse(name, "its value is infinite in one run")
        values = _columns(table, influence) + np.array([a.value, b.value])
    elif has_sample_values(name, table):
        values = _columns(table, name)
        if not all(map(_is_mean, values.T, (a.value, b.value))):
            raise _refuse(name, "it is no mean over samples, and the runs hold no influences")
    else:
        raise _refuse(name, "it is a metric of the whole set, and the runs hold no influences")
    is_known = ~np.isnan(values).any(axis=1)
    units = table[UNIT].to_numpy()[is_known] if UNIT in table else np.arange(is_known.sum())
    pooled = _by_unit(values[is_known], units)
    if len(pooled) < 2:
        raise _refuse(name, f"{len(pooled)} samples have values in both")
    return Pairs(pooled[:, 0], pooled[:, 1], is_linear, num_undefined=int((~is_known).sum()))


def _columns(table: pd.DataFrame, name: str) -> Array:
    return np.asarray(table[[f"{name}_a", f"{name}_b"]].to_numpy(dtype=np.float64))


def _is_mean(values: Array, value: float) -> bool:
    """Whether a metric is the mean of its finite per-sample values, or is infinite."""
    finite = values[np.isfinite(values)]
    if not (math.isfinite(value) and len(finite)):
        return True
    return math.isclose(float(finite.mean()), value, rel_tol=1e-6, abs_tol=1e-9)


def _by_unit(values: Array, units: NDArray[Any]) -> Array:
    """Return one row per unit, (G, 2). Weights make means over units equal means over samples."""
    import pandas as pd

    unit, named = pd.factorize(units)
    if len(named) == len(values):
        return values
    # sums of differences from the mean lose fewer digits, but infinite values have none
    mean = values.mean(axis=0) if np.isfinite(values).all() else np.zeros(2)
    sums = np.zeros((len(named), 2))
    np.add.at(sums, unit, values - mean)
    return np.asarray(mean + sums * len(named) / len(values))


def _refuse(name: str, reason: str) -> NotComparableError:
    return NotComparableError(
        f"metric '{name}'", reason, "Run both with the same version, suite and metrics."
    )
