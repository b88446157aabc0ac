"""How two means over the same samples differ: the difference, its interval, and a test.

A sample that is exact in one run alone has an infinite difference (PSNR). The mean of such
differences has no interval. The exact sign test then compares how many samples got better and how
many got worse (Dixon & Mood 1946). A sample that is exact in both runs has the difference 0.

The differences of the samples are one set of numbers, judged by the rule of intervals.py. A bias
(direction ``zero``) is judged by how far its mean is from 0. With d = b − a and s = b + a, where a
and b are the means, the distances |a| and |b| are equal exactly where d or s is 0: they differ
where d and s are both shown not to be 0 (an intersection-union test; Berger 1982).
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from layton_bench.intervals import mean_interval, mean_p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.metrics import Direction

    Array = NDArray[np.float64]


class MeanDifference(NamedTuple):
    """Second less first; of a bias, how much farther from 0 the second is.

    Attributes:
        value: of the samples seen. Infinite differences of both signs have no mean: nan.
        low, high: its interval. With infinite differences, both ends have the sign that the sign
            test shows; without one, the interval is the whole line.
        p_value: two-sided, of the hypothesis that it is 0.
    """

    value: float
    low: float
    high: float
    p_value: float


def mean_difference(
    first: Array, second: Array, direction: Direction, *, confidence: float = 0.95
) -> MeanDifference:
    """Compare the means of paired values, both float64 (n,), n ≥ 2, not nan.

    The interval leaves 0 out exactly where the p-value is below 1 − confidence.
    """
    differences = paired_differences(first, second, direction)
    if not np.isfinite(differences).all():
        return _sign_difference(differences, confidence)
    if direction == "zero":
        return _distance_difference(second - first, second + first, confidence)
    low, high = _interval(differences, confidence)
    return MeanDifference(float(differences.mean()), low, high, mean_p_value(differences))


def paired_differences(first: Array, second: Array, direction: Direction) -> Array:
    """Return second less first, float64 (n,); of a bias, of the distances from 0."""
    if direction == "zero":
        first, second = np.abs(first), np.abs(second)
    differences = np.zeros(len(first))  # equal infinities have no difference either
    np.subtract(second, first, out=differences, where=first != second)
    return differences


def _sign_difference(differences: Array, confidence: float) -> MeanDifference:
    from scipy.stats import binomtest

    num_up, num_down = int((differences > 0).sum()), int((differences < 0).sum())
    p_value = float(binomtest(num_up, num_up + num_down).pvalue)
    end = math.copysign(math.inf, num_up - num_down)
    is_shown = p_value < 1 - confidence
    has_both_signs = np.isposinf(differences).any() and np.isneginf(differences).any()
    return MeanDifference(
        value=math.nan if has_both_signs else float(differences.mean()),
        low=end if is_shown else -math.inf,
        high=end if is_shown else math.inf,
        p_value=p_value,
    )


def _distance_difference(differences: Array, sums: Array, confidence: float) -> MeanDifference:
    # |b| − |a| only grows or only falls as d or s alone changes: its extremes are at the corners
    ends = product(_interval(differences, confidence), _interval(sums, confidence))
    gaps = [_distance_gap(d, s) for d, s in ends]
    return MeanDifference(
        value=_distance_gap(float(differences.mean()), float(sums.mean())),
        low=min(gaps),
        high=max(gaps),
        p_value=max(mean_p_value(differences), mean_p_value(sums)),
    )


def _distance_gap(difference: float, total: float) -> float:
    """|b| − |a| from b − a and b + a."""
    return math.copysign(min(abs(difference), abs(total)), difference * total)


def _interval(values: Array, confidence: float) -> tuple[float, float]:
    low, high = mean_interval(values, confidence=confidence)
    assert low is not None and high is not None, "an interval takes two values"
    return low, high
