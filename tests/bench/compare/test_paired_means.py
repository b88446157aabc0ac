"""Differences of paired means: by hand, and how often equal ones are told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from layton_bench.compare.paired_means import mean_difference, paired_differences


def test_a_difference_is_that_of_the_pairs() -> None:
    first, second = np.array([20.0, 22.0, 24.0, 26.0]), np.array([21.0, 22.5, 25.5, 27.0])
    found = mean_difference(first, second, "higher")
    expected = stats.ttest_rel(second, first)
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert mean_difference(first, second, "lower") == found


@pytest.mark.parametrize(
    ("a", "b"), [(1.0, 3.0), (3.0, 1.0), (-1.0, 3.0), (1.0, -3.0), (-3.0, -1.0), (2.0, -2.0)]
)
def test_a_bias_differs_by_the_distance_of_its_mean_from_zero(a: float, b: float) -> None:
    noise = np.array([-0.1, 0.1, 0.2, -0.2])
    found = mean_difference(a + noise, b - noise, "zero")
    assert found.value == pytest.approx(abs(b) - abs(a))
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1.5
    assert (found.p_value < 0.05) == (abs(a) != abs(b)) == (not found.low <= 0 <= found.high)


def test_where_signs_are_sure_a_bias_is_compared_as_any_mean() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(5, 1, 40), rng.normal(6, 1, 40)
    expected = mean_difference(first, second, "lower")
    assert mean_difference(first, second, "zero") == expected
    turned = mean_difference(-first, -second, "zero")
    assert turned == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bias", "correlation"), [(0.0, 0.5), (0.1, 0.95), (0.3, 0.95), (3.0, 0.0)]
)
@pytest.mark.parametrize("is_opposite", [False, True])
def test_equal_biases_are_seldom_told_apart(
    bias: float, correlation: float, is_opposite: bool
) -> None:
    """Of equal or opposite sign: by the signs of the means alone, up to 33 % of these are."""
    rng = np.random.default_rng(1)
    rejected = covered = 0
    for _ in range(400):
        shared = math.sqrt(correlation) * rng.standard_normal(10)
        first, second = (
            shared + math.sqrt(1 - correlation) * rng.standard_normal(10) for _ in range(2)
        )
        found = mean_difference(first + bias, second + (-bias if is_opposite else bias), "zero")
        rejected += found.p_value <= 0.05
        covered += found.low <= 0 <= found.high
    assert rejected <= 0.065 * 400
    assert covered == 400 - rejected


def test_the_sign_test_by_hand() -> None:
    inf = np.inf
    first = np.array([inf, inf, inf, inf, inf, inf, 20.0, 20.0, 20.0])
    second = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 20.0, 19.0, 21.0])
    found = mean_difference(first, second, "higher")
    # 7 fell, 1 rose: 2 · (8 choose 0 + 8 choose 1) / 2^8
    assert found.p_value == pytest.approx(2 * 9 / 256)
    assert (found.value, found.low, found.high) == (-inf, -inf, inf)
    told = mean_difference(first, second, "higher", confidence=0.9)
    assert (told.low, told.high) == (-inf, -inf)


def test_equal_infinities_are_no_difference() -> None:
    exact = np.array([np.inf, np.inf, np.inf])
    found = mean_difference(exact, exact, "higher")
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert list(paired_differences(exact, -exact, "zero")) == [0, 0, 0]
