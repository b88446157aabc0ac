"""SSIM and MS-SSIM of uint8 images, in float64.

Structural similarity (Wang et al. 2004), each channel by itself, then the mean over channels:

    l(x, y)  = (2 μx μy + C1) / (μx² + μy² + C1)          luminance
    cs(x, y) = (2 σxy + C2) / (σx² + σy² + C2)            contrast · structure
    SSIM     = mean of l · cs over the map

with C1 = (0.01 · 255)², C2 = (0.03 · 255)² and a Gaussian window of 11 × 11, σ = 1.5.

Axes: B batch, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layton_bench.metrics.pairs.opencv import opencv

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

DATA_RANGE = 255.0
WINDOW = 11
SIGMA = 1.5
_BORDER = WINDOW // 2
_C1 = (0.01 * DATA_RANGE) ** 2
_C2 = (0.03 * DATA_RANGE) ** 2
# Pixels of planes at a time on a GPU: some ten arrays of 128 MiB.
_GPU_PIXELS = 2**24
# Pixels of a plane at a time: some ten arrays of 32 MiB. Planes of up to 2,048 × 2,048 are whole.
_STRIP_PIXELS = 2**22
_TAPS = [math.exp(-0.5 * (i / SIGMA) ** 2) for i in range(-_BORDER, _BORDER + 1)]
_KERNEL = [tap / sum(_TAPS) for tap in _TAPS]

MIN_SIDE_PX = WINDOW
"""Below this, no window fits into the image."""

LEVEL_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales (Wang, Simoncelli and Bovik 2003)."""

MS_MIN_SIDE_PX = WINDOW * 2 ** (len(LEVEL_WEIGHTS) - 1)
"""Below 176 px the coarsest scale is smaller than the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Means over the maps of one scale, float64 (B,) each.

    Attributes:
        full: SSIM over the whole map, with reflected borders.
        cropped: SSIM over the positions where the whole window is inside the image.
        contrast: cs alone, over the same positions.
    """

    full: Tensor
    cropped: Tensor
    contrast: Tensor


def similarity(x: Tensor, y: Tensor) -> Similarity:
    """Return SSIM of images (B, C, H, W), any real dtype, 0..255, sides of 11 px or more."""
    full, cropped, contrast = _mean_over_channels(_statistics, x, y)
    return Similarity(full=full, cropped=cropped, contrast=contrast)


def multi_scale(x: Tensor, y: Tensor, finest: Similarity) -> Tensor:
    """Return MS-SSIM, float64 (B,), of images (B, C, H, W), 0..255, sides of 176 px or more.

    Args:
        x: one set of images.
        y: the other.
        finest: their similarity at full size: the first scale.

    Each scale is the mean of 2 × 2 pixels of the one before. The result is a product of powers: cs
    of the first four scales and l · cs of the last, with their weights. Negative means count as 0.
    """
    import torch

    terms = torch.stack([finest.contrast, *_mean_over_channels(_coarse_terms, x, y)])
    weights = terms.new_tensor(LEVEL_WEIGHTS)[:, None]
    return (terms.clamp_min(0.0) ** weights).prod(dim=0)


def _mean_over_channels(
    statistics: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> Tensor:
    """Apply statistics (planes (P, H, W) → (S, P)) and return their means (S, B).

    On a CPU, one plane at a time fits into the cache. A GPU computes as many as fill it.
    """
    import torch

    planes_x, planes_y = x.flatten(0, 1), y.flatten(0, 1)
    step = 1 if x.is_cpu else max(1, _GPU_PIXELS // planes_x[0].numel())
    parts = [
        statistics(planes_x[i : i + step], planes_y[i : i + step])
        for i in range(0, len(planes_x), step)
    ]
    per_plane: Tensor = torch.cat(parts, dim=1).view(-1, *x.shape[:2])
    return per_plane.mean(dim=2)


def _coarse_terms(x: Tensor, y: Tensor) -> Tensor:
    """Return the terms of scales two to five, (4, P), of planes (P, H, W)."""
    import torch

    terms = []
    for _ in LEVEL_WEIGHTS[1:]:
        x, y = _halved(x), _halved(y)
        full, _, contrast = _statistics(x, y)
        terms.append(contrast)
    terms[-1] = full
    return torch.stack(terms)


def _halved(planes: Tensor) -> Tensor:
    """Return means of 2 × 2 pixels, float64. An odd last row or column is left out."""
    import torch

    height, width = (side // 2 * 2 for side in planes.shape[1:])
    strips = []
    for start, stop in _strips(height, width):
        strip = planes[:, start:stop].double()
        rows = strip[:, 0::2] + strip[:, 1::2]
        strips.append((rows[..., 0:width:2] + rows[..., 1:width:2]).mul_(0.25))
    return torch.cat(strips, dim=1)


def _strips(height: int, width: int) -> list[tuple[int, int]]:
    """Return first and last row of strips of an even number of rows, the last one of any number.

    A strip has at most ``_STRIP_PIXELS``, but enough rows for a window.
    """
    rows = max(4 * WINDOW, _STRIP_PIXELS // width // 2 * 2)
    starts = range(0, max(1, height - WINDOW), rows)
    return list(zip(starts, [*starts[1:], height], strict=True))


def _statistics(x: Tensor, y: Tensor) -> Tensor:
    """Return full, cropped and contrast of each plane, (3, P), of planes (P, H, W).

    A large plane is computed in strips, so that memory does not grow with its size.
    """
    if x.shape[1] * x.shape[2] <= _STRIP_PIXELS:
        return _means(*_maps(x.double(), y.double()))
    if x.shape[2] > x.shape[1]:  # strips across the shorter side; the window has no direction
        x, y = x.transpose(1, 2), y.transpose(1, 2)
    height, width = x.shape[1:]
    sums = [_strip_sums(x, y, *rows) for rows in _strips(height, width)]
    inner = (height - 2 * _BORDER) * (width - 2 * _BORDER)
    total: Tensor = sum(sums[1:], start=sums[0])
    return total / total.new_tensor([height * width, inner, inner])[:, None]


def _strip_sums(x: Tensor, y: Tensor, start: int, stop: int) -> Tensor:
    """Return sums of the maps over rows of planes, (3, P): full, cropped and contrast."""
    import torch

    height = x.shape[1]
    # rows around the strip, which its windows reach; reflection there is cut off again
    top, bottom = max(0, start - _BORDER), min(height, stop + _BORDER)
    floats = partial(torch.Tensor.to, dtype=torch.float64, memory_format=torch.contiguous_format)
    maps = _maps(floats(x[:, top:bottom]), floats(y[:, top:bottom]))
    ssim, contrast = (values[:, start - top : stop - top] for values in maps)
    inside = slice(max(0, _BORDER - start), stop - start - max(0, stop - height + _BORDER))
    columns = slice(_BORDER, -_BORDER)
    parts = (ssim, ssim[:, inside, columns], contrast[:, inside, columns])
    return torch.stack([part.sum((1, 2)) for part in parts])


def _means(ssim: Tensor, contrast: Tensor) -> Tensor:
    import torch

    return torch.stack([m.mean((1, 2)) for m in (ssim, _inside(ssim), _inside(contrast))])


def _maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps l · cs and cs of planes (P, H, W) float64.

    With u = (x + y)/√2 and v = (x − y)/√2 the formula needs four windowed means instead of five. If
    x and y nearly agree, there is no small difference of large numbers:
    2 μx μy = μu² − μv², μx² + μy² = μu² + μv², 2 σxy = σu² − σv², σx² + σy² = σu² + σv².
    """
    u = (x + y).mul_(math.sqrt(0.5))
    v = (x - y).mul_(math.sqrt(0.5))
    variance_u, variance_v = _windowed(u * u), _windowed(v * v)
    squared_u, squared_v = _windowed(u).square_(), _windowed(v).square_()
    variance_u.sub_(squared_u)
    variance_v.sub_(squared_v)
    contrast = (variance_u - variance_v).add_(_C2).div_(variance_u.add_(variance_v).add_(_C2))
    luminance = (squared_u - squared_v).add_(_C1).div_(squared_u.add_(squared_v).add_(_C1))
    return luminance.mul_(contrast), contrast


def _inside(planes: Tensor) -> Tensor:
    return planes[:, _BORDER:-_BORDER, _BORDER:-_BORDER]


def _windowed(planes: Tensor) -> Tensor:
    """Return the Gaussian mean around each pixel of planes (P, H, W) float64, borders reflected."""
    # OpenCV's separable filter is 2 to 3 times faster on CPU than torch's convolution
    by_opencv = planes.is_cpu and opencv() is not None
    return _windowed_by_opencv(planes) if by_opencv else _windowed_by_torch(planes)


def _windowed_by_opencv(planes: Tensor) -> Tensor:
    import cv2
    import numpy as np
    import torch

    taps, border = np.array(_KERNEL), cv2.BORDER_REFLECT_101
    filtered = [cv2.sepFilter2D(p, -1, taps, taps, borderType=border) for p in planes.numpy()]
    return torch.from_numpy(filtered[0][None] if len(filtered) == 1 else np.stack(filtered))


def _windowed_by_torch(planes: Tensor) -> Tensor:
    from torch.nn.functional import conv2d, pad

    row = planes.new_tensor(_KERNEL).view(1, 1, 1, WINDOW)
    padded = pad(planes[:, None], [_BORDER] * 4, mode="reflect")
    return conv2d(conv2d(padded, row), row.transpose(2, 3))[:, 0]
