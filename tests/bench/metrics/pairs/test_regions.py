"""Ratios of sums over the parts of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layton_bench.intervals import mean_interval
from layton_bench.metrics.pairs.regions import RatioMetric
from layton_bench.types import ScoredBatch


def test_ratio_metric_merges_and_is_reproducible() -> None:
    rng = np.random.default_rng(0)
    scores = {f"{i:02}": (float(rng.random()), float(rng.integers(0, 3))) for i in range(30)}

    def score(b: ScoredBatch) -> list[tuple[float, float]]:
        return [scores[key] for key in b.keys]

    def make(keys: list[str]) -> RatioMetric:
        metric = RatioMetric("r", score, parts="things")
        metric.update(ScoredBatch(keys=tuple(keys), candidates=torch.zeros(len(keys), 3, 1, 1)))
        return metric

    keys = sorted(scores)
    whole, left, right = make(keys), make(keys[20:]), make(keys[:20][::-1])
    restored = make([])
    restored.load_state(left.state())
    restored.merge(right)
    assert restored.compute() == whole.compute()
    used = [pair for pair in scores.values() if pair[1] > 0]
    wanted = sum(p for p, _ in used) / sum(w for _, w in used)
    assert whole.compute().value == pytest.approx(wanted, rel=1e-12)


def test_the_interval_of_a_ratio_is_that_of_a_mean_where_weights_are_equal_and_holds_else() -> None:
    rng = np.random.default_rng(1)

    def interval(parts: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        metric = RatioMetric("r", lambda b: [], parts="things")
        names = np.array([f"{i:02}" for i in range(len(parts))])
        metric.load_state({"keys": names, "parts": parts, "weights": weights.astype(float)})
        value = metric.compute()
        return value.low, value.high

    parts = rng.random(8)
    assert interval(3 * parts, np.full(8, 3.0)) == pytest.approx(mean_interval(parts))
    covered = 0
    for _ in range(500):  # characters read rightly in 10 images of 1 to 11 characters each
        weights = rng.integers(1, 12, 10)
        low, high = interval(rng.binomial(weights, rng.beta(4, 1, 10)), weights)
        covered += low <= 0.8 <= high
    assert covered >= 0.93 * 500  # resampled images: 88 %
