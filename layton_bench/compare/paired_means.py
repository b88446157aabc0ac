"""How two means over the same samples differ: the difference, its interval, and a test.

The differences of the samples are one set of numbers, judged by the rule of intervals.py. A bias
(direction ``zero``) is judged by how far its mean is from 0. With d = b − a and s = b + a, where a
and b are the means, the distances |a| and |b| are equal exactly where d or s is 0: they differ
where d and s are both shown not to be 0 (an intersection-union test; Berger 1982).
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from layton_bench.intervals import mean_interval, mean_p_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from layton_bench.metrics import Direction

    Array = NDArray[np.float64]


class MeanDifference(NamedTuple):
    """Second less first; of a bias, how much farther from 0 the second is.

    Attributes:
        value: of the samples seen.
        low, high: its interval.
        p_value: two-sided, of the hypothesis that it is 0.
    """

    value: float
    low: float
    high: float
    p_value: float


def mean_difference(
    first: Array, second: Array, direction: Direction, *, confidence: float = 0.95
) -> MeanDifference:
    """Compare the means of paired values, both float64 (n,), finite, n ≥ 2.

    The interval leaves 0 out exactly where the p-value is below 1 − confidence.
    """
    if direction == "zero":
        return _distance_difference(second - first, second + first, confidence)
    differences = second - first
    low, high = _interval(differences, confidence)
    return MeanDifference(float(differences.mean()), low, high, mean_p_value(differences))


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
