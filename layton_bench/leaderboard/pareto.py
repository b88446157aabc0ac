"""Which models nobody beats at their cost: the Pareto front of cost against quality."""

from __future__ import annotations

from collections.abc import Sequence


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point (cost, badness), both smaller is better, is on the Pareto front.

    A point is off the front where another is no worse in both and better in one. Of equal points
    all are on it.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other != point and other[0] <= point[0] and other[1] <= point[1]
