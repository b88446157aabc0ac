"""Intervals against closed forms, published examples and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from layton_bench import intervals

SHAPES = {
    "normal": (lambda rng, n: rng.standard_normal(n), 0.0),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0),
    "lognormal": (lambda rng, n: np.exp(rng.standard_normal(n)), math.exp(0.5)),
    "exponential, mirrored": (lambda rng, n: -rng.exponential(1.0, n), -1.0),
    "Laplace": (lambda rng, n: rng.laplace(size=n), 0.0),
}


@pytest.mark.parametrize(
    ("shape", "n", "least"),
    [
        ("normal", 10, 0.95), ("exponential", 10, 0.93), ("lognormal", 10, 0.9),
        ("normal", 50, 0.94), ("exponential", 50, 0.94), ("lognormal", 50, 0.92),
        ("exponential, mirrored", 10, 0.93), ("Laplace", 10, 0.95),
    ],
)  # fmt: skip
def test_the_interval_of_a_mean_holds_it_as_often_as_promised(shape, n, least):
    """2,000 seeded draws, so the share is good to 0.7 %; docs/intervals.md has 20,000 and more."""
    draw, mean = SHAPES[shape]
    rng = np.random.default_rng(7)
    ends = (intervals.mean_interval(draw(rng, n)) for _ in range(2000))
    covered = sum(low <= mean <= high for low, high in ends) / 2000
    assert least <= covered <= 0.98


@pytest.mark.parametrize("n", [2, 3, 10, 400])
def test_without_skewness_it_is_students_interval_and_test(n):
    half = np.random.default_rng(n).normal(0.4, 1, (n + 1) // 2)
    sample = np.concatenate([half, 0.8 - half])[: n + n % 2]  # symmetric about 0.4
    expected = stats.ttest_1samp(sample, 0.0)
    ends = expected.confidence_interval(0.9)
    assert intervals.mean_interval(sample, confidence=0.9) == pytest.approx(tuple(ends))
    assert intervals.mean_p_value(sample) == pytest.approx(expected.pvalue)


def test_only_the_side_of_the_long_tail_is_longer_by_the_first_order_of_skewness():
    sample = np.array([1.0, 1.2, 1.1, 1.4, 1.3, 1.2, 1.0, 1.3, 1.1, 3.0])
    n, error, t = 10, sample.std(ddof=1) / math.sqrt(10), stats.t.ppf(0.975, 9)
    skewness = stats.skew(sample) * (1 + 11 / n)
    low, high = intervals.mean_interval(sample)
    assert low == pytest.approx(sample.mean() - t * error)
    further = skewness * (2 * t * t + 1) / (6 * math.sqrt(n))
    assert high == pytest.approx(sample.mean() + (t + further) * error)
    assert intervals.mean_interval(-sample) == pytest.approx((-high, -low))


def test_skewness_of_few_exponential_values_is_too_small_by_what_is_assumed():
    """The true one is 2; the mean of what is found at n = 10, 20, 50 is 1 + 11/n times smaller."""
    rng = np.random.default_rng(0)
    for n in (10, 20, 50):
        found = stats.skew(rng.exponential(1.0, (20_000, n)), axis=1).mean()
        assert 2 / found == pytest.approx(1 + intervals._BIAS_OF_SKEWNESS / n, rel=0.03)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 200])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.998])
def test_the_test_rejects_exactly_what_the_interval_leaves_out(n, confidence):
    rng = np.random.default_rng(n)
    for sign in (1, -1):
        sample = sign * rng.exponential(1.0, n)
        for end in intervals.mean_interval(sample, confidence=confidence):
            assert intervals.mean_p_value(sample - end) == pytest.approx(1 - confidence)


def test_the_interval_follows_the_scale_of_the_values_however_large_or_small():
    sample = np.array([1.0, 4.0, 2.0, 7.0])
    low, high = intervals.mean_interval(sample)
    for scale in (1e-200, 1e150):
        assert intervals.mean_interval(sample * scale) == pytest.approx((low * scale, high * scale))


def test_equal_values_leave_no_doubt():
    mean = float(np.mean([0.1] * 7))  # which is not 0.1
    assert intervals.mean_interval([0.1] * 7) == (mean, mean)
    assert intervals.mean_p_value([0.1] * 7) == 0.0
    assert intervals.mean_p_value([0.0] * 7) == 1.0


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_interval(values):
    assert intervals.mean_interval(values) == (None, None)
    assert intervals.bootstrap(lambda i: 0.0, len(values), seed=0) == (None, None)


def test_bootstrap_leaves_the_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    sample = np.array([1.0, 2.0, 5.0, 9.0])

    def ends(seed: int) -> tuple[float | None, float | None]:
        return intervals.bootstrap(lambda rows: float(sample[rows].mean()), 4, seed=seed)

    first = ends(4)
    assert (np.random.get_state()[1] == before).all()
    assert ends(4) == first
    assert ends(5) != first


def test_bootstrap_of_any_statistic_gets_indices_into_the_set():
    sample = np.arange(100.0)
    seen = []

    def median(index: np.ndarray) -> float:
        seen.append(index)
        return float(np.median(sample[index]))

    low, high = intervals.bootstrap(median, 100, seed=2, num_resamples=150)
    assert len(seen) == 150
    assert all(i.shape == (100,) and i.min() >= 0 and i.max() < 100 for i in seen)
    assert 30 < low < 49.5 < high < 70


def test_a_wider_confidence_is_a_wider_interval():
    sample = np.random.default_rng(9).normal(size=50)
    narrow = intervals.mean_interval(sample, confidence=0.5)
    wide = intervals.mean_interval(sample, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_jackknife_of_the_mean_is_students_interval():
    sample = np.array([3.0, 5.0, 4.0, 8.0, 10.0])
    n = len(sample)
    leave_one_out = [(sample.sum() - x) / (n - 1) for x in sample]
    low, high = intervals.jackknife(leave_one_out, sample.mean())
    expected = stats.ttest_1samp(sample, 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx(tuple(expected))


def test_jackknife_needs_two_groups():
    with pytest.raises(ValueError, match="two groups"):
        intervals.jackknife([1.0], 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # roots of (p̂ − p)² = z² p (1 − p) / n, the interval's definition, solved by numpy below
        (81, 263, None),
        (15, 148, None),
        (1, 29, None),
        (0, 10, (0.0, 0.2775327998628892)),
        (10, 10, (0.7224672001371108, 1.0)),
    ],
)
def test_wilson_solves_its_definition(successes, trials, expected):
    low, high = intervals.wilson(successes, trials)
    if expected is None:
        z2, p = 1.959963984540054**2, successes / trials
        roots = np.roots([1 + z2 / trials, -(2 * p + z2 / trials), p * p])
        expected = tuple(sorted(roots))
    assert (low, high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5), (1, -1)])
def test_wilson_refuses_what_is_no_proportion(successes, trials):
    with pytest.raises(ValueError, match="no proportion"):
        intervals.wilson(successes, trials)
