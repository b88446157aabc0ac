"""Confidence intervals: bootstrap of a mean, jackknife, Wilson. Every draw is seeded."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

# Rows of resampled indices held at a time: bounds memory at 50,000 samples to about 25 MB.
_CHUNK_ELEMENTS = 3_000_000


def bootstrap_means(
    values: ArrayLike, *, seed: int, num_resamples: int = 1000
) -> NDArray[np.float64]:
    """Means of resamples with replacement, (num_resamples,) float64 (Efron 1979)."""
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_ELEMENTS // max(n, 1))
    parts = []
    for start in range(0, num_resamples, rows):
        count = min(rows, num_resamples - start)
        parts.append(sample[rng.integers(0, n, size=(count, n))].mean(axis=1))
    return np.concatenate(parts)


def bootstrap_mean(
    values: ArrayLike, *, seed: int, confidence: float = 0.95, num_resamples: int = 1000
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval of the mean; (None, None) below two values."""
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return None, None
    means = bootstrap_means(sample, seed=seed, num_resamples=num_resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def jackknife(
    leave_one_out: Sequence[float], estimate: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Normal interval from leave-one-out (or leave-one-group-out) estimates (Tukey 1958).

    The standard error is sqrt((g - 1) / g · Σ (θ_i - mean θ)²) over g groups.
    """
    thetas = np.asarray(leave_one_out, dtype=np.float64)
    groups = len(thetas)
    if groups < 2:
        raise ValueError("a jackknife needs at least two groups")
    error = math.sqrt((groups - 1) / groups * float(((thetas - thetas.mean()) ** 2).sum()))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    return estimate - half, estimate + half


def wilson(successes: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927); trials must be positive.

    Trials may be an effective number, as of correlated trials, and need not be whole.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / trials
    centre = p + z * z / (2 * trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    n: int,
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 200,
) -> tuple[float | None, float | None]:
    """Percentile interval of any statistic of a resample, given as indices (n,) into the set."""
    if n < 2:
        return None, None
    rng = np.random.default_rng(seed)
    draws = [statistic(rng.integers(0, n, size=n)) for _ in range(num_resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
