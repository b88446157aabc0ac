"""Outlines of the ten shapes: closed rings of points inside the unit circle, y downwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = Literal[
    "circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent", "arrow", "diamond"
]
SHAPES: tuple[Shape, ...] = get_args(Shape)

_CURVE_POINTS = 96


@cache
def outline(shape: Shape) -> tuple[NDArray[np.float64], ...]:
    """Return the outer ring (P, 2), and the hole of a ring. The furthest point has distance 1."""
    rings = _OUTLINES[shape]()
    outer = rings[0]
    centre = (outer.min(axis=0) + outer.max(axis=0)) / 2
    reach = np.linalg.norm(outer - centre, axis=1).max()
    return tuple((ring - centre) / reach for ring in rings)


def _arc(radius: float, start: float = 0.0, stop: float = 2 * np.pi) -> NDArray[np.float64]:
    angles = np.linspace(start, stop, _CURVE_POINTS)
    return np.asarray(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _regular(points: int, *, inner: float | None = None) -> NDArray[np.float64]:
    """Return a regular polygon with a corner at the top, or a star with notches at ``inner``."""
    count = points if inner is None else 2 * points
    angles = -np.pi / 2 + 2 * np.pi * np.arange(count) / count
    radii = np.ones(count)
    if inner is not None:
        radii[1::2] = inner
    return np.asarray(radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _heart() -> NDArray[np.float64]:
    """Return the well-known curve x = 16 sin³ t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t."""
    t = np.linspace(0, 2 * np.pi, _CURVE_POINTS)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1)


def _cross() -> NDArray[np.float64]:
    a, b = 0.34, 1.0
    corners = [(a, b), (a, a), (b, a), (b, -a), (a, -a), (a, -b)]
    return np.array([*corners, *((-x, -y) for x, y in corners)])


def _crescent() -> NDArray[np.float64]:
    """Return the unit disc without a disc of radius 0.82 whose centre is 0.5 to the right."""
    offset, bite = 0.5, 0.82
    x = (1 + offset**2 - bite**2) / (2 * offset)
    tip, inner_tip = np.arccos(x), np.arctan2(np.sqrt(1 - x * x), x - offset)
    outer = _arc(1.0, tip, 2 * np.pi - tip)
    inner = _arc(bite, 2 * np.pi - inner_tip, inner_tip) + np.array([offset, 0])
    return np.concatenate([outer, inner])


def _arrow() -> NDArray[np.float64]:
    upper = [(-1.0, -0.24), (0.1, -0.24), (0.1, -0.68), (1.0, 0.0)]
    return np.array([*upper, *((x, -y) for x, y in reversed(upper[:-1]))])


_OUTLINES: dict[Shape, Callable[[], tuple[NDArray[np.float64], ...]]] = {
    "circle": lambda: (_arc(1.0),),
    "square": lambda: (np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),),
    "triangle": lambda: (_regular(3),),
    "star": lambda: (_regular(5, inner=0.46),),
    "heart": lambda: (_heart(),),
    "cross": lambda: (_cross(),),
    "ring": lambda: (_arc(1.0), _arc(0.5)),
    "crescent": lambda: (_crescent(),),
    "arrow": lambda: (_arrow(),),
    "diamond": lambda: (np.array([(0.0, -1.0), (0.6, 0.0), (0.0, 1.0), (-0.6, 0.0)]),),
}
