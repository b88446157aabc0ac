"""The ten colours of things, the muted colours of backgrounds, and the colour of a pixel.

Distances are in Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/): L in [0, 1],
chroma below about 0.32 for colours of a screen.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from layton_bench.tasks.geneval import COLORS, Color

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Typical sRGB values, chosen far apart in Oklab (nearest pair: blue and purple, 0.16).
ANCHORS: Final[dict[Color, tuple[int, int, int]]] = {
    "red": (214, 32, 38),
    "orange": (250, 132, 20),
    "yellow": (252, 218, 40),
    "green": (36, 158, 62),
    "blue": (36, 84, 214),
    "purple": (128, 44, 168),
    "pink": (255, 122, 184),
    "brown": (112, 62, 26),
    "black": (16, 16, 18),
    "white": (250, 250, 250),
}
# Backgrounds are greys and muted tints: a cylinder in Oklab, at least 0.09 from each anchor (pink
# is the nearest).
BACKGROUND_LIGHTNESS: Final = (0.58, 0.82)
BACKGROUND_CHROMA: Final = 0.055
# Greys darker than this are black. Edges of black things are between it and the background.
_BLACK_LIGHTNESS: Final = 0.36

# For the look-up table, sRGB has 6 bits per channel: 262,144 entries.
_BITS: Final = 6


def oklab(rgb_01: ArrayLike) -> NDArray[np.float64]:
    """Convert sRGB in [0, 1] to Oklab, float64 (..., 3)."""
    rgb = np.asarray(rgb_01, dtype=np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _LMS_OF_RGB.T) @ _LAB_OF_LMS.T)


def srgb(lab: ArrayLike) -> NDArray[np.float64]:
    """Convert Oklab to sRGB in [0, 1], float64 (..., 3). Colours outside sRGB are clipped."""
    lms = np.asarray(lab, dtype=np.float64) @ np.linalg.inv(_LAB_OF_LMS).T
    linear = np.clip(lms**3 @ np.linalg.inv(_LMS_OF_RGB).T, 0, 1)
    low, high = 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, low, high))


_LMS_OF_RGB: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB_OF_LMS: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def color_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colour of each pixel of uint8 RGB (H, W, 3): uint8 (H, W), 1 + its index.

    0 means background.
    """
    bins = image.astype(np.int32) >> (8 - _BITS)
    return np.asarray(_table()[bins[..., 0], bins[..., 1], bins[..., 2]])


@cache
def _table() -> NDArray[np.uint8]:
    """Return the nearest of background and anchors for each colour of the look-up table."""
    levels = (np.arange(1 << _BITS) + 0.5) / (1 << _BITS)
    lab = oklab(np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1))
    anchors = oklab(np.array(list(ANCHORS.values())) / 255)
    distances = [_to_cylinder(lab, *BACKGROUND_LIGHTNESS, BACKGROUND_CHROMA)]
    for color, anchor in zip(COLORS, anchors, strict=True):
        if color == "black":
            distances.append(_to_cylinder(lab, 0.0, _BLACK_LIGHTNESS, 0.02))
        else:
            distances.append(np.linalg.norm(lab - anchor, axis=-1))
    return np.asarray(np.argmin(distances, axis=0), dtype=np.uint8)


def _to_cylinder(
    lab: NDArray[np.float64], low: float, high: float, chroma: float
) -> NDArray[np.float64]:
    """Return the distance to greys and tints of a range of lightness; 0 inside."""
    along = lab[..., 0] - np.clip(lab[..., 0], low, high)
    across = np.maximum(np.hypot(lab[..., 1], lab[..., 2]) - chroma, 0)
    return np.asarray(np.hypot(along, across))
