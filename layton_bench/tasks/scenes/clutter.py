"""Unlabelled images for training autoencoders: many overlapping shapes in any colour.

They hold what the labelled scenes lack: saturated backgrounds, occlusion, thin lines, fine
patterns and every colour a screen can show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layton_bench.tasks.scenes.background import KINDS, Background, paint
from layton_bench.tasks.scenes.chance import pick
from layton_bench.tasks.scenes.draw import coverage
from layton_bench.tasks.scenes.shapes import SHAPES, outline

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_MAX_PARTS: Final = 28
_MAX_CORNERS: Final = 7


def draw_clutter(rng: Generator, *, size_px: int) -> NDArray[np.uint8]:
    """Draw random patterns, shapes, polygons and lines, uint8 RGB (H, W, 3)."""
    canvas = paint(_pattern(rng), size_px)
    for _ in range(int(rng.integers(4, _MAX_PARTS + 1))):
        rings, fill = _part(rng), _pattern(rng)
        opacity = np.float32(rng.uniform(0.6, 1.0))
        left, top, cover = coverage(rings, size_px)
        if cover.size == 0:
            continue
        height, width = cover.shape
        patch = canvas[top : top + height, left : left + width]
        paint_over = paint(fill, max(height, width))[:height, :width]
        patch += (paint_over - patch) * (cover * opacity)[..., None]
    return np.asarray(np.round(np.clip(canvas, 0, 1) * 255), dtype=np.uint8)


def _pattern(rng: Generator) -> Background:
    return Background(
        kind=pick(KINDS, rng),
        colors=(_any_color(rng), _any_color(rng)),
        repeats=float(rng.uniform(2, 24)),
        angle=float(rng.uniform(0, np.pi)),
        seed=int(rng.integers(2**31)),
    )


def _any_color(rng: Generator) -> tuple[float, float, float]:
    chroma, hue = 0.25 * rng.random(), rng.uniform(0, 2 * np.pi)
    return float(rng.uniform(0.1, 1.0)), float(chroma * np.cos(hue)), float(chroma * np.sin(hue))


def _part(rng: Generator) -> tuple[NDArray[np.float64], ...]:
    """Return a shape, an irregular polygon or a line, at random place, size and angle."""
    kind = rng.random()
    # sizes uniform in the logarithm: many small, few large
    size = np.exp(rng.uniform(np.log(0.03), np.log(0.45))) * rng.uniform(0.5, 1.0, size=2)
    if kind < 0.5:
        rings = outline(pick(SHAPES, rng))
    elif kind < 0.75:
        angles = np.sort(rng.uniform(0, 2 * np.pi, size=rng.integers(3, _MAX_CORNERS + 1)))
        radii = rng.uniform(0.4, 1.0, size=len(angles))
        rings = (radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1),)
    else:
        rings = (np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),)
        size = np.array([rng.uniform(0.1, 0.7), rng.uniform(0.002, 0.012)])
    angle, centre = rng.uniform(0, 2 * np.pi), rng.random(2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return tuple((ring * size) @ turn + centre for ring in rings)
