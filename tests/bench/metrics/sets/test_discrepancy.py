"""Estimates, influences and intervals of the discrepancy: goldens, formulas, samples left out."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets.discrepancy import (
    cmmd,
    cubic,
    gaussian_gap,
    jackknife_interval,
    kernel_sums,
    mmd_unbiased,
)
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.kernel import unit_rows


@pytest.mark.usefixtures("both_ways")
def test_cmmd_equals_the_formula() -> None:
    rows, wanted = cases.features(), cases.expected()["cases"]["rank_deficient"]["cmmd"]
    first, second = rows["rank_deficient.fake"], rows["rank_deficient.real"]
    raw = cmmd(kernel_sums(Gram(first, second), gaussian_gap))
    assert raw == pytest.approx(wanted["raw_f64"], rel=1e-12)
    unit = cmmd(kernel_sums(Gram(unit_rows(first), unit_rows(second)), gaussian_gap))
    assert unit == pytest.approx(wanted["l2norm_f64"], rel=1e-7)  # normalised in float32 there


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("is_unbiased", [True, False])
def test_the_interval_is_that_of_leaving_out_each_sample(
    is_paired: bool, is_unbiased: bool
) -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((14, 5))
    second = rng.standard_normal((14 if is_paired else 11, 5)) + 0.3
    if is_unbiased:
        function, estimate, scale = cubic, mmd_unbiased, 1.0
    else:
        function, estimate, scale = gaussian_gap, cmmd, -1000.0

    def value(a: np.ndarray, b: np.ndarray) -> float:
        return estimate(kernel_sums(Gram(a, b), function))

    sums = kernel_sums(Gram(first, second), function)
    whole = estimate(sums)
    low, high = jackknife_interval(
        sums, whole, is_paired=is_paired, is_unbiased=is_unbiased, scale=scale
    )

    def spread(values: list[float]) -> float:
        a = np.array(values)
        return (len(a) - 1) / len(a) * ((a - a.mean()) ** 2).sum()

    def cut(rows: np.ndarray, i: int) -> np.ndarray:
        return np.delete(rows, i, 0)

    if is_paired:
        variance = spread([value(cut(first, i), cut(second, i)) for i in range(len(first))])
    else:
        variance = spread([value(cut(first, i), second) for i in range(len(first))])
        variance += spread([value(first, cut(second, i)) for i in range(len(second))])
    assert high - whole == pytest.approx(1.959963984540054 * variance**0.5, rel=1e-9)
    assert whole - low == pytest.approx(high - whole, rel=1e-9)
