"""Intervals against closed forms, published examples and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layton_bench import intervals


def test_bootstrap_means_scatter_as_the_standard_error():
    sample = np.random.default_rng(0).normal(10, 2, 400)
    means = intervals.bootstrap_means(sample, seed=1, num_resamples=4000)
    assert means.shape == (4000,)
    assert means.mean() == pytest.approx(sample.mean(), abs=0.01)
    # exact variance of a resampled mean: population variance / n
    assert means.std() == pytest.approx(sample.std() / 20, rel=0.05)


def test_bootstrap_does_not_depend_on_how_many_rows_fit_in_memory(monkeypatch):
    sample = np.arange(37.0)
    whole = intervals.bootstrap_means(sample, seed=3, num_resamples=50)
    monkeypatch.setattr(intervals, "_CHUNK_ELEMENTS", 37 * 7)
    np.testing.assert_array_equal(
        intervals.bootstrap_means(sample, seed=3, num_resamples=50), whole
    )


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        low, high = intervals.bootstrap_mean(rng.exponential(1.0, 60), seed=trial)
        covered += low <= 1.0 <= high
    # nominal 0.95; percentile intervals of a skewed mean at n = 60 fall a little short
    assert 0.89 <= covered / 300 <= 0.98


def test_bootstrap_of_a_constant_is_that_constant():
    assert intervals.bootstrap_mean([2.0] * 5, seed=0) == (2.0, 2.0)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_bootstrap_of_fewer_than_two_values_is_undefined(values):
    assert intervals.bootstrap_mean(values, seed=0) == (None, None)
    assert intervals.bootstrap(lambda i: 0.0, len(values), seed=0) == (None, None)


def test_bootstrap_leaves_the_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = intervals.bootstrap_mean([1.0, 2.0, 3.0], seed=4)
    assert (np.random.get_state()[1] == before).all()
    assert intervals.bootstrap_mean([1.0, 2.0, 3.0], seed=4) == first
    assert intervals.bootstrap_mean([1.0, 2.0, 3.5], seed=4) != first


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
    narrow = intervals.bootstrap_mean(sample, seed=0, confidence=0.5)
    wide = intervals.bootstrap_mean(sample, seed=0, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_jackknife_of_the_mean_is_the_textbook_standard_error():
    sample = np.array([3.0, 5.0, 4.0, 8.0, 10.0])
    n = len(sample)
    leave_one_out = [(sample.sum() - x) / (n - 1) for x in sample]
    low, high = intervals.jackknife(leave_one_out, sample.mean())
    half = 1.959963984540054 * sample.std(ddof=1) / math.sqrt(n)
    assert (low, high) == pytest.approx((sample.mean() - half, sample.mean() + half), abs=1e-12)


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
