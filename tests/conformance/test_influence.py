"""Influences of samples on metrics of sets: against leaving out, weights, and brute force."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import feature_cases as cases
import numpy as np
import pytest
from feature_sets import sets_of
from scipy import stats

from layton_bench.metrics.pairs.regions import RatioMetric
from layton_bench.metrics.sets import frechet, inception_score, kernel, manifold
from layton_bench.metrics.sets.feature_sets import FeatureSets
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.subsets import (
    draw_as_torch_fidelity,
    kid_influences,
    subset_sums,
)
from layton_bench.registry.plugins import Plugins
from layton_bench.types import MetricValue

METRICS = Plugins()
Value = Callable[[FeatureSets], MetricValue]
KID = partial(kernel._kid, draw=draw_as_torch_fidelity)
# how near the spread is to that of leaving out, which has terms of 1/n² that influences lack
OF_SETS: dict[str, tuple[Value, float]] = {
    "fid": (frechet._distance, 0.15),
    "kid-full": (kernel._kid_full, 0.03),
    "cmmd": (kernel._cmmd, 0.02),
}


def reconstructed(n: int, d: int, seed: int = 0, noise: float = 0.5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((n, d)) * np.logspace(0, -1, d)
    return references + noise * rng.standard_normal((n, d)) * np.logspace(0, -1, d), references


def influence(value: MetricValue) -> np.ndarray:
    return np.array(list(value.influence.values()))


@pytest.mark.parametrize("name", OF_SETS)
@pytest.mark.parametrize("is_paired", [True, False])
def test_it_is_that_of_leaving_out_each_sample(name: str, is_paired: bool) -> None:
    first, second = reconstructed(120, 8)
    of_set, near = OF_SETS[name]

    def value(a: np.ndarray, b: np.ndarray) -> MetricValue:
        return of_set(sets_of(a, b, is_paired=is_paired))

    found = value(first, second)
    assert list(found.influence) == [f"{i:04}" for i in range(120)]
    assert sum(found.influence.values()) == pytest.approx(0, abs=1e-9)
    left = np.array([
        value(np.delete(first, i, 0), np.delete(second, i, 0) if is_paired else second).value
        for i in range(120)
    ])  # fmt: skip
    wanted = 119 * (left.mean() - left)
    assert np.corrcoef(influence(found), wanted)[0, 1] > 0.99
    assert influence(found).std() == pytest.approx(wanted.std(), rel=near)


def test_kid_of_subsets_that_are_the_whole_has_that_of_the_whole() -> None:
    sets = sets_of(*reconstructed(40, 5))
    assert KID(sets).influence == pytest.approx(kernel._kid_full(sets).influence)


@pytest.mark.parametrize("with_products", [True, False])
def test_kid_of_fixed_subsets_has_the_derivative_by_each_weight(with_products: bool) -> None:
    first, second = reconstructed(30, 5)
    rng = np.random.default_rng(1)
    subsets = [(rng.choice(30, 12, False), rng.choice(30, 12, False)) for _ in range(6)]
    products = Gram(first, second) if with_products else None
    sums = subset_sums(first, second, subsets, products)
    one, other = kid_influences(sums, subsets, 30, 30)

    def weighted(weights: tuple[np.ndarray, np.ndarray]) -> float:
        """The mean over subsets of U-statistics in which each sample has a weight."""

        def mean(a: np.ndarray, b: np.ndarray, u: np.ndarray, v: np.ndarray, same: bool) -> float:
            pairs = np.outer(u, v) * (1 - np.eye(len(u)) * same)
            return float((pairs * (a @ b.T / 5 + 1) ** 3).sum() / pairs.sum())

        values = []
        for x, y in subsets:
            a, b, u, v = first[x], second[y], weights[0][x], weights[1][y]
            values.append(
                mean(a, a, u, u, True) + mean(b, b, v, v, True) - 2 * mean(a, b, u, v, False)
            )
        return float(np.mean(values))

    for side, found in enumerate((one, other)):
        slopes = []
        for i in range(30):
            ends = []
            for step in (1e-4, -1e-4):
                weights = (np.ones(30), np.ones(30))
                weights[side][i] += step
                ends.append(weighted(weights))
            slopes.append(30 * (ends[0] - ends[1]) / 2e-4)
        np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-6)


def test_without_pairs_the_references_count_for_nothing() -> None:
    first, second = reconstructed(50, 6)
    moments = [frechet.Moments.of_rows(rows.astype(np.float32)) for rows in (first, second)]
    one, other = frechet.influences(sets_of(first, second), *moments)
    paired = frechet._distance(sets_of(first, second))
    alone = frechet._distance(sets_of(first, second, is_paired=False))
    np.testing.assert_allclose(influence(alone), one - one.mean(), rtol=1e-12)
    total = one + other
    np.testing.assert_allclose(influence(paired), total - total.mean(), rtol=1e-12)
    to_file = frechet._distance_to_file(sets_of(first, first), reference=moments[1])
    np.testing.assert_allclose(influence(to_file), one - one.mean(), rtol=1e-9, atol=1e-12)


def test_the_inception_scores_belong_to_their_rows() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, 6))
    logits[137] = [30, 0, 0, 0, 0, 0]  # certain, as no other is
    found = inception_score._value(sets_of(logits, logits))
    parts = influence(found)
    assert np.abs(parts).argmax() == 137
    # the same leave-one-out values make the jackknife's interval
    assert found.high is not None and found.value is not None
    error = np.sqrt((parts**2).sum() / (200 * 199))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 199) * error)
    few = inception_score._value(sets_of(logits[:12], logits[:12]))
    assert few.influence == {}  # a split of one row has no value without it


@pytest.mark.parametrize(
    "value",
    [frechet._infinity, manifold._precision, manifold._recall, manifold._density,
     manifold._coverage],
)  # fmt: skip
def test_what_is_not_linear_in_the_samples_has_none(value: Value) -> None:
    assert value(sets_of(*reconstructed(60, 4))).influence == {}


def test_a_resamples_value_is_that_of_its_influences() -> None:
    """Brute force: the distance of resampled pairs, computed anew, against the linear one."""
    first, second = reconstructed(800, 6)
    found = frechet._distance(sets_of(first, second))
    assert found.value is not None
    rng = np.random.default_rng(2)
    exact, linear = [], []
    for _ in range(150):
        rows = rng.integers(0, 800, 800)
        exact.append(frechet._distance(sets_of(first[rows], second[rows])).value - found.value)
        linear.append(influence(found)[rows].mean())
    assert np.corrcoef(exact, linear)[0, 1] > 0.98
    assert np.std(linear) == pytest.approx(np.std(exact), rel=0.08)


def test_a_ratio_a_length_and_a_logarithm_have_their_derivatives() -> None:
    rng = np.random.default_rng(5)
    keys = np.array([f"{i:02}" for i in range(40)])
    parts, weights = rng.uniform(0, 5, 40), rng.integers(1, 9, 40).astype(float)
    ratio = RatioMetric("text", lambda batch: [], parts="lines")
    pixels = {
        name: METRICS.metric(name).make(cases.context()) for name in ("colour-bias", "psnr-pooled")
    }
    shifts = rng.normal(1, 2, (40, 2))
    states = {
        ratio: {"keys": keys, "parts": parts, "weights": weights},
        pixels["colour-bias"]: {"keys": keys, "a": shifts[:, 0], "b": shifts[:, 1]},
        pixels["psnr-pooled"]: {"keys": keys, "values": parts},
    }
    for metric, state in states.items():
        metric.load_state(state)
        found = metric.compute()
        assert list(found.influence) == list(keys)
        left = []
        for i in range(40):
            metric.load_state({name: np.delete(array, i, 0) for name, array in state.items()})
            left.append(metric.compute().value)
        wanted = 39 * (np.mean(left) - np.array(left))
        assert np.corrcoef(influence(found), wanted)[0, 1] > 0.999
        assert influence(found).std() == pytest.approx(wanted.std(), rel=0.03)


def test_without_a_direction_a_length_has_no_derivative() -> None:
    bias = METRICS.metric("colour-bias").make(cases.context())
    bias.load_state({"keys": np.array(["a", "b"]), "a": np.zeros(2), "b": np.zeros(2)})
    assert (bias.compute().value, bias.compute().influence) == (0.0, {})
