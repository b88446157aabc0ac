"""Backgrounds: plain, gradient, stripes, checks, dots, clouds, all in muted colours.

A background is drawn from a few numbers, so it looks the same at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from PIL import Image

from layton_bench.tasks.scenes.chance import pick
from layton_bench.tasks.scenes.palette import BACKGROUND_CHROMA, BACKGROUND_LIGHTNESS, srgb

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    # (H, W) in [0, 1]: mix of two colours
    Map = NDArray[np.floating[Any]]

Kind = Literal["plain", "gradient", "stripes", "checks", "dots", "clouds"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# what may be asked for: a kind, or a ground in one or two of a few colours
Ground = Kind | Literal["swatch", "swatches"]

# In Oklab: three greys, a rose, a green, a blue.
SWATCHES: Final = (
    (0.62, 0.0, 0.0),
    (0.72, 0.0, 0.0),
    (0.80, 0.0, 0.0),
    (0.70, 0.035, 0.0),
    (0.70, -0.03, 0.02),
    (0.70, -0.01, -0.04),
)

# Cells of the coarsest noise grid. Each of three further octaves has twice as many.
_NOISE_CELLS: Final = 4
_NOISE_OCTAVES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """A pattern of two colours.

    Attributes:
        kind: the pattern.
        colors: its two colours in Oklab.
        repeats: periods across the image's side (stripes, checks, dots).
        angle: rotation of the pattern in radians.
        seed: seed of the clouds.
    """

    kind: Kind
    colors: tuple[tuple[float, float, float], tuple[float, float, float]]
    repeats: float = 6.0
    angle: float = 0.0
    seed: int = 0


def sample_background(rng: Generator, *, kinds: Sequence[Ground] = KINDS) -> Background:
    """Draw a background in muted colours, far from those of things.

    Args:
        rng: draws everything.
        kinds: each is as likely as the others; one named twice is drawn twice as often. "swatch"
            is a plain ground in one of ``SWATCHES``, "swatches" two of them as halves (one above
            the other or side by side) or quarters of the picture.
    """
    kind = pick(kinds, rng)
    if kind == "swatch":
        color = pick(SWATCHES, rng)
        return Background(kind="plain", colors=(color, color))
    if kind == "swatches":
        pattern: Kind = pick(("stripes", "stripes", "checks"), rng)
        one, other = rng.permutation(len(SWATCHES))[:2]
        # one period across the side puts the edges through its middle
        return Background(
            kind=pattern,
            colors=(SWATCHES[one], SWATCHES[other]),
            repeats=1.0,
            angle=pick((0.0, np.pi / 2), rng),
        )
    return Background(
        kind=kind,
        colors=(_muted(rng), _muted(rng)),
        repeats=float(rng.uniform(3, 12)),
        angle=float(rng.uniform(0, np.pi)),
        seed=int(rng.integers(2**31)),
    )


def _muted(rng: Generator) -> tuple[float, float, float]:
    chroma, hue = BACKGROUND_CHROMA * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    lightness = rng.uniform(*BACKGROUND_LIGHTNESS)
    return float(lightness), float(chroma * np.cos(hue)), float(chroma * np.sin(hue))


def paint(background: Background, size_px: int) -> NDArray[np.float32]:
    """Return the background as sRGB float32 (H, W, 3) in [0, 1]."""
    first, second = srgb(np.array(background.colors)).astype(np.float32)
    mix = _PATTERNS[background.kind](background, size_px).astype(np.float32)[..., None]
    return np.asarray(first + (second - first) * mix, dtype=np.float32)


def _turned(background: Background, size_px: int) -> tuple[Map, Map]:
    """Return coordinates (H, W) along and across the pattern, in shares of the side, centre 0."""
    axis = (np.arange(size_px, dtype=np.float32)[None] + 0.5) / size_px - 0.5
    cos, sin = math.cos(background.angle), math.sin(background.angle)
    return axis * cos + axis.T * sin, axis.T * cos - axis * sin


def _plain(_: Background, size_px: int) -> Map:
    return np.zeros((size_px, size_px), np.float32)


def _gradient(background: Background, size_px: int) -> Map:
    along, _ = _turned(background, size_px)
    return _unit(along / math.sqrt(2) + 0.5)


def _stripes(background: Background, size_px: int) -> Map:
    along, _ = _turned(background, size_px)
    return _bands(along, background.repeats, size_px)


def _checks(background: Background, size_px: int) -> Map:
    along, across = (_bands(c, background.repeats, size_px) for c in _turned(background, size_px))
    return along * across + (1 - along) * (1 - across)


def _bands(along: Map, repeats: float, size_px: int) -> Map:
    """Return alternating 0 and 1 with edges of one pixel: sin divided by its step per pixel."""
    frequency = 2 * math.pi * repeats
    return _unit(np.sin(along * frequency) * (size_px / frequency) + 0.5)


def _dots(background: Background, size_px: int) -> Map:
    """Return discs of radius 0.3 periods on a square lattice, with edges of one pixel."""
    x, y = (c * background.repeats for c in _turned(background, size_px))
    radius = np.hypot(x - np.round(x), y - np.round(y))
    return _unit((0.3 - radius) * (size_px / background.repeats) + 0.5)


def _clouds(background: Background, size_px: int) -> Map:
    """Return smooth noise: octaves of interpolated random grids, each with half the strength."""
    rng = np.random.default_rng(background.seed)
    total = np.zeros((size_px, size_px), np.float32)
    for octave in range(_NOISE_OCTAVES):
        cells = _NOISE_CELLS << octave
        grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        smooth = grid.resize((size_px, size_px), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _unit(values: Map) -> Map:
    return np.asarray(np.clip(values, 0, 1))


_PATTERNS: Final[dict[Kind, Callable[[Background, int], Map]]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "clouds": _clouds,
}
