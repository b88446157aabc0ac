"""A detector of coloured shapes without weights, and the judge built on it.

    image → 256 px → median filter → nearest colour of each pixel → regions of one colour
          → outline against ten templates at every turn → detections → GenEval's logic

Everything is deterministic. A region of unknown shape does not count, but the reason names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from layton_bench.tasks.geneval import (
    COLORS,
    Color,
    Instance,
    Judgement,
    Rules,
    ScenePrompt,
    judge,
)
from layton_bench.tasks.scenes.draw import coverage
from layton_bench.tasks.scenes.palette import color_map
from layton_bench.tasks.scenes.shapes import SHAPES, Shape, outline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# All numbers below are in pixels of an image with this longer side.
_SIDE: Final = 256
# Smaller regions are specks: a quarter of the smallest thing drawn.
_MIN_AREA: Final = 140
# Thinner bands are edges between a thing and its surroundings.
_EDGE: Final = 5
# Pixels of a thing's edge are at most this far from its inside.
_REACH: Final = 6.0
# A region whose overlap with the best template is below this has no known shape.
MIN_OVERLAP: Final = 0.8
# One threshold for all tasks: a detection's score is its overlap.
RULES: Final = Rules(threshold=MIN_OVERLAP, counting_threshold=MIN_OVERLAP)

# Templates are also eroded and dilated by these shares of the radius, because blur makes rings and
# arms thinner or thicker.
_EROSIONS: Final = tuple(step / 50 for step in range(-4, 9))
# Polar grid for comparing outlines. The unit of radii is the radius of a disc of the same area.
_RADII: Final = (np.arange(36) + 0.5) / 36 * 2.4
_TURNS: Final = 90


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A connected region of one colour.

    Attributes:
        shape: the most similar shape.
        color: the colour of its inside.
        overlap: intersection over union with that shape at the best angle, in [0, 1].
        box: x1, y1, x2, y2 in pixels of the original image, float32 (4,).
    """

    shape: Shape
    color: Color
    overlap: float
    box: NDArray[np.float32]


def judge_image(image: NDArray[np.uint8], prompt: ScenePrompt) -> Judgement:
    """Judge whether an image, uint8 RGB (H, W, 3), shows what its prompt demands."""
    regions = detect(image)
    detections: dict[str, list[Instance]] = {}
    colors: dict[int, Color] = {}
    for region in regions:
        instance = Instance(region.box, np.float32(region.overlap))
        colors[id(instance)] = region.color
        detections.setdefault(region.shape, []).append(instance)
    judgement = judge(
        prompt, detections, lambda _, found: [colors[id(i)] for i in found], rules=RULES
    )
    unknown = [region for region in regions if region.overlap <= MIN_OVERLAP]
    if judgement.correct or not unknown:
        return judgement
    listing = ", ".join(
        f"{region.color} ({region.overlap:.2f} {region.shape})" for region in unknown
    )
    return replace(judgement, reason=f"{judgement.reason}\nunknown shapes: {listing}")


def detect(image: NDArray[np.uint8]) -> tuple[Region, ...]:
    """Return all regions of an image, uint8 RGB (H, W, 3), except specks, largest first."""
    scale = _SIDE / max(image.shape[:2])
    labels = color_map(_normalised(image, scale))
    cores = _cores(labels)
    if not cores:
        return ()
    masks = _with_edges(cores, labels != 0)
    regions = [
        _region(mask, color, scale) for mask, color in zip(masks, _colors(cores), strict=True)
    ]
    order = np.argsort([-mask.sum() for mask in masks], kind="stable")
    return tuple(regions[i] for i in order)


@dataclass(frozen=True, slots=True, eq=False)
class _Core:
    """The inside of a region: bool (H, W), and the index of its colour."""

    mask: NDArray[np.bool_]
    color: int


def _colors(cores: Sequence[_Core]) -> list[Color]:
    return [COLORS[core.color] for core in cores]


def _normalised(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return the image with a longer side of 256 px, without noise of single pixels."""
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image)
    if scale > 1:
        # remove noise of small images before their pixels become blocks
        picture = picture.filter(ImageFilter.BoxBlur(0.5))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(picture.filter(ImageFilter.MedianFilter(3)))


def _cores(labels: NDArray[np.uint8]) -> list[_Core]:
    """Return connected regions of each colour, without edges and specks."""
    cores: list[_Core] = []
    for index in range(len(COLORS)):
        mask = labels == index + 1
        if mask.sum() < _MIN_AREA:
            continue
        numbered, count = ndimage.label(ndimage.binary_opening(mask, _disc(_EDGE)))
        areas = np.bincount(numbered.ravel(), minlength=count + 1)
        cores += [
            _Core(numbered == n, index) for n in range(1, count + 1) if areas[n] >= _MIN_AREA // 2
        ]
    return cores


@cache
def _disc(diameter: int) -> NDArray[np.bool_]:
    offsets = np.arange(diameter) - (diameter - 1) / 2
    return np.asarray(np.hypot(offsets[:, None], offsets[None]) <= diameter / 2)


def _with_edges(cores: Sequence[_Core], foreground: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Add to each core the pixels of its edge: the nearest foreground, of any colour."""
    owner = np.zeros(foreground.shape, np.int32)
    for number, core in enumerate(cores, start=1):
        owner[core.mask] = number
    distance, nearest = ndimage.distance_transform_edt(owner == 0, return_indices=True)
    reached = foreground & (distance <= _REACH)
    owner = np.where(reached, owner[tuple(nearest)], 0)
    return [_main_part(owner == number) for number in range(1, len(cores) + 1)]


def _main_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    numbered, count = ndimage.label(mask)
    if count <= 1:
        return mask
    areas = np.bincount(numbered.ravel())
    return np.asarray(numbered == 1 + np.argmax(areas[1:]))


def _region(mask: NDArray[np.bool_], color: Color, scale: float) -> Region:
    overlaps = _overlaps(_polar(mask))
    best = int(np.argmax(overlaps))
    (top, left), (bottom, right) = (f(np.nonzero(mask), axis=1) for f in (np.min, np.max))
    box = np.array([left, top, right + 1, bottom + 1], dtype=np.float32) / np.float32(scale)
    return Region(SHAPES[best], color, float(overlaps[best]), box)


def _polar(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the coverage of a polar grid around the centroid, (radii, turns), at equal area."""
    ys, xs = np.nonzero(mask)
    unit = np.sqrt(len(xs) / np.pi)
    angles = 2 * np.pi * np.arange(_TURNS) / _TURNS
    rows = ys.mean() + unit * _RADII[:, None] * np.sin(angles)
    columns = xs.mean() + unit * _RADII[:, None] * np.cos(angles)
    sampled = ndimage.map_coordinates(mask.astype(np.float64), [rows, columns], order=1)
    return np.asarray(sampled)


def _overlaps(polar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the soft overlap with each shape, best template at the best angle, (shapes,).

    ⟨a, b⟩ / (⟨a, a⟩ + ⟨b, b⟩ − ⟨a, b⟩) (Tanimoto), weighted by radius. One circular correlation
    gives all angles.
    """
    spectra, energies = _templates()
    weighted = np.fft.rfft(polar * _RADII[:, None], axis=1)
    shared = np.fft.irfft((weighted * spectra.conj()).sum(axis=2), n=_TURNS, axis=2).max(axis=2)
    energy = float((_RADII[:, None] * polar**2).sum())
    return np.asarray((shared / (energy + energies - shared)).max(axis=1))


@cache
def _templates() -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return spectra (shapes, erosions, radii, turns / 2 + 1), energies (shapes, erosions)."""
    polars = np.stack([[_polar(mask) for mask in _eroded(shape)] for shape in SHAPES])
    return np.fft.rfft(polars, axis=3), (_RADII[:, None] * polars**2).sum(axis=(2, 3))


def _eroded(shape: Shape) -> list[NDArray[np.bool_]]:
    """Return the shape at a radius of 80 px, eroded and dilated by each of ``_EROSIONS``."""
    radius_px = 80
    rings = tuple(ring * radius_px / _SIDE + 0.5 for ring in outline(shape))
    mask = np.zeros((_SIDE, _SIDE), bool)
    left, top, cover = coverage(rings, _SIDE)
    mask[top : top + cover.shape[0], left : left + cover.shape[1]] = cover >= 0.5
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return [inside > erosion * radius_px for erosion in _EROSIONS]
