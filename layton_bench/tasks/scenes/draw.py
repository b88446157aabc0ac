"""Draws scenes at any size, with antialiasing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

from layton_bench.tasks.scenes.background import paint
from layton_bench.tasks.scenes.palette import ANCHORS, oklab, srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.tasks.scenes.layout import Scene, Thing

# A pixel at an edge is the mean of this number of samples, squared.
_OVERSAMPLING: Final = 8
# From this size on, half of that is enough: steps of the outlines are finer than a sample.
_FINE_PX: Final = 512


def render(scene: Scene, *, size_px: int) -> NDArray[np.uint8]:
    """Draw a scene as uint8 RGB (size_px, size_px, 3). Each call returns the same bytes."""
    canvas = paint(scene.background, size_px)
    for thing in scene.things:
        left, top, cover = coverage(thing.rings(), size_px)
        height, width = cover.shape
        patch = canvas[top : top + height, left : left + width]
        patch += (_fill(thing, left, top, cover.shape, size_px) - patch) * cover[..., None]
    return np.asarray(np.round(np.clip(canvas, 0, 1) * 255), dtype=np.uint8)


def coverage(
    rings: tuple[NDArray[np.float64], ...], size_px: int
) -> tuple[int, int, NDArray[np.float32]]:
    """Return the share of each pixel that a shape covers, in the smallest window around it.

    Args:
        rings: outer ring (P, 2) and holes, in shares of the side.
        size_px: side of the image.

    Returns:
        Left and top of the window in pixels, and shares float32 (h, w) in [0, 1]. The window is
        inside the image, and may be empty.
    """
    low = np.clip(np.floor(rings[0].min(axis=0) * size_px) - 1, 0, size_px).astype(int)
    high = np.clip(np.ceil(rings[0].max(axis=0) * size_px) + 1, 0, size_px).astype(int)
    width, height = (int(side) for side in np.maximum(high - low, 0))
    if width == 0 or height == 0:
        return int(low[0]), int(low[1]), np.zeros((height, width), np.float32)
    factor = _OVERSAMPLING if size_px < _FINE_PX else _OVERSAMPLING // 2
    stencil = Image.new("L", (width * factor, height * factor))
    draw = ImageDraw.Draw(stencil)
    for ring, ink in zip(rings, (255, *(0,) * (len(rings) - 1)), strict=True):
        # the centre of sample i is at i + ½
        points = (ring * size_px - low) * factor - 0.5
        draw.polygon(points.ravel().tolist(), fill=ink)
    cover = np.asarray(stencil.reduce(factor), np.float32) / np.float32(255)
    return int(low[0]), int(low[1]), cover


def _fill(
    thing: Thing, left: int, top: int, shape: tuple[int, ...], size_px: int
) -> NDArray[np.float32]:
    """Return the thing's colour in a window, sRGB float32 (h, w, 3), with its shade."""
    base = oklab(np.array(ANCHORS[thing.color]) / 255) + thing.tint
    strength, direction = thing.shade
    step = np.array([strength / 2, 0, 0])
    dark, light = srgb(np.stack([base - step, base + step])).astype(np.float32)
    x = (np.arange(left, left + shape[1]) + 0.5) / size_px - thing.x
    y = (np.arange(top, top + shape[0]) + 0.5) / size_px - thing.y
    along = x[None] * np.cos(direction) + y[:, None] * np.sin(direction)
    mix = np.clip(along / (2 * thing.radius) + 0.5, 0, 1).astype(np.float32)[..., None]
    return np.asarray(dark + (light - dark) * mix, dtype=np.float32)
