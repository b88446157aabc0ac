"""Confidence intervals: of a mean, of a proportion, from a jackknife, from a bootstrap.

The interval of a mean and the test that a mean is 0 are two views of one rule: the mean is a value
of the interval exactly where the test does not reject it. docs/intervals.md says why this rule was
chosen, and shows how often it holds.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray


_BIAS_OF_SKEWNESS = 11
"""The skewness of n exponential values comes out about 1 + 11/n times too small."""


class _Sample(NamedTuple):
    """What an interval needs to know of n values.

    Attributes:
        n: how many values.
        mean: of the values.
        error: standard error of the mean.
        skew: skewness over √n.
    """

    n: int
    mean: float
    error: float
    skew: float


def _summarise(values: ArrayLike) -> _Sample:
    sample = np.asarray(values, dtype=np.float64)
    n, mean = len(sample), float(sample.mean())
    if (sample == sample[0]).all():  # their rounded mean may differ from them
        return _Sample(n, mean, 0.0, 0.0)
    gaps = sample - mean
    largest = float(np.abs(gaps).max())
    gaps /= largest  # no power of a gap is too large or too small for a float
    variance = float((gaps**2).mean())
    skewness = float((gaps**3).mean()) / variance**1.5 * (1 + _BIAS_OF_SKEWNESS / n)
    return _Sample(n, mean, largest * math.sqrt(variance / (n - 1)), skewness / math.sqrt(n))


def _quantile(t: float, skew: float) -> float:
    """Student's quantile t, moved outwards for a tail that is long (skew > 0) on this side.

    The studentised mean has the quantiles t + skewness (2 t² + 1) / (6 √n), to the first order in
    1 / √n (Johnson 1978; Hall 1983). No quantile is moved inwards: skewness is poorly known.
    """
    return t + max(0.0, skew) * (2 * t**2 + 1) / 6


def _students(quantile: float, skew: float) -> float:
    """The inverse of ``_quantile``: the root of (skew / 3) t² + t + skew / 6 − quantile."""
    skew = max(0.0, skew)
    c = max(0.0, quantile - skew / 6)
    return 2 * c / (1 + math.sqrt(1 + 4 / 3 * skew * c))


def mean_interval(
    values: ArrayLike, *, confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """Interval of the mean of finite values; (None, None) below two of them.

    Student's interval, made longer on the side of the long tail. Nothing is drawn at random.
    """
    from scipy.special import stdtrit

    if len(np.asarray(values)) < 2:
        return None, None
    n, mean, error, skew = _summarise(values)
    t = float(stdtrit(n - 1, 0.5 + confidence / 2))
    return mean - error * _quantile(t, -skew), mean + error * _quantile(t, skew)


def mean_p_value(values: ArrayLike) -> float:
    """Two-sided p-value of the hypothesis that the mean of two or more finite values is 0.

    It is below 1 − confidence exactly where ``mean_interval`` leaves 0 out.
    """
    from scipy.special import stdtr

    n, mean, error, skew = _summarise(values)
    if error == 0:
        return 0.0 if mean else 1.0
    # 0 is below a positive mean and above a negative one
    t = _students(abs(mean) / error, skew if mean < 0 else -skew)
    return min(1.0, 2 * float(stdtr(n - 1, -t)))


def jackknife_variance(leave_one_out: Sequence[float]) -> float:
    """(g − 1) / g · Σ (θᵢ − mean θ)² over estimates without each of g groups (Tukey 1958)."""
    thetas = np.asarray(leave_one_out, dtype=np.float64)
    groups = len(thetas)
    if groups < 2:
        raise ValueError("a jackknife needs at least two groups")
    return (groups - 1) / groups * float(((thetas - thetas.mean()) ** 2).sum())


def jackknife(
    leave_one_out: Sequence[float], estimate: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Student's interval from leave-one-out (or leave-one-group-out) estimates (Tukey 1958)."""
    variance = jackknife_variance(leave_one_out)
    return students(estimate, variance, len(leave_one_out) - 1, confidence=confidence)


def students(
    estimate: float, variance: float, degrees: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of an estimate whose variance is known with so many degrees of freedom."""
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * math.sqrt(variance)
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
