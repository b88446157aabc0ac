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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DATA_RANGE = 255.0
WINDOW = 11
SIGMA = 1.5
_BORDER = WINDOW // 2
_C1 = (0.01 * DATA_RANGE) ** 2
_C2 = (0.03 * DATA_RANGE) ** 2
_TAPS = [math.exp(-0.5 * (i / SIGMA) ** 2) for i in range(-_BORDER, _BORDER + 1)]
_KERNEL = [tap / sum(_TAPS) for tap in _TAPS]

MIN_SIDE_PX = WINDOW
"""Below this no window lies wholly inside the image."""

LEVEL_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales (Wang, Simoncelli and Bovik 2003)."""

MS_MIN_SIDE_PX = WINDOW * 2 ** (len(LEVEL_WEIGHTS) - 1)
"""Below 176 px the coarsest scale is smaller than the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Means over the maps of one scale, float64 (B,) each.

    Attributes:
        full: SSIM over the whole map, borders reflected.
        cropped: SSIM over the part where the window lies wholly inside the image.
        contrast: cs alone, over the same part.
    """

    full: Tensor
    cropped: Tensor
    contrast: Tensor


def similarity(x: Tensor, y: Tensor) -> Similarity:
    """SSIM of images (B, 3, H, W) of any real dtype in 0..255, sides of 11 px or more."""
    import torch

    rows = [_planes_similarity(a, b) for a, b in zip(x, y, strict=True)]
    full, cropped, contrast = torch.stack(rows, dim=1)
    return Similarity(full=full, cropped=cropped, contrast=contrast)


def multi_scale(x: Tensor, y: Tensor, finest: Similarity) -> Tensor:
    """MS-SSIM of images (B, 3, H, W) in 0..255, sides of 176 px or more; float64 (B,).

    Args:
        x: one set of images.
        y: the other.
        finest: their similarity at full size, which the first scale reads.

    Scales are made by 2 × 2 means; cs of the first four and l · cs of the last enter by their
    weights, negative means as 0.
    """
    import torch

    coarse = torch.stack([_coarse_terms(a, b) for a, b in zip(x, y, strict=True)])
    terms = torch.cat([finest.contrast[:, None], coarse], dim=1).clamp_min(0.0)
    return (terms ** terms.new_tensor(LEVEL_WEIGHTS)).prod(dim=1)


def _coarse_terms(x: Tensor, y: Tensor) -> Tensor:
    """What scales two to five of one image (3, H, W) contribute, (4,)."""
    import torch

    return torch.stack([_plane_terms(a, b) for a, b in zip(x, y, strict=True)]).mean(0)


def _plane_terms(x: Tensor, y: Tensor) -> Tensor:
    import torch

    x, y = x.double(), y.double()
    terms = []
    for _ in LEVEL_WEIGHTS[1:]:
        x, y = _halved(x), _halved(y)
        full, _, contrast = _plane(x, y)
        terms.append(contrast)
    terms[-1] = full
    return torch.stack(terms)


def _halved(plane: Tensor) -> Tensor:
    """Means of 2 × 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in plane.shape)
    rows = plane[0:height:2] + plane[1:height:2]
    return (rows[:, 0:width:2] + rows[:, 1:width:2]).mul_(0.25)


def _planes_similarity(x: Tensor, y: Tensor) -> Tensor:
    """(full, cropped, contrast) of one image (3, H, W), plane by plane to stay in the cache."""
    import torch

    return torch.stack([_plane(a.double(), b.double()) for a, b in zip(x, y, strict=True)]).mean(0)


def _plane(x: Tensor, y: Tensor) -> Tensor:
    """(full, cropped, contrast) of one plane (H, W) float64.

    With u = (x + y)/√2 and v = (x − y)/√2 the formula needs four windowed means, not five, and no
    small difference of large numbers where x and y nearly agree:
    2 μx μy = μu² − μv², μx² + μy² = μu² + μv², 2 σxy = σu² − σv², σx² + σy² = σu² + σv².
    """
    import torch

    u = (x + y).mul_(math.sqrt(0.5))
    v = (x - y).mul_(math.sqrt(0.5))
    variance_u, variance_v = _windowed(u * u), _windowed(v * v)
    squared_u, squared_v = _windowed(u).square_(), _windowed(v).square_()
    variance_u.sub_(squared_u)
    variance_v.sub_(squared_v)
    contrast = (variance_u - variance_v).add_(_C2).div_(variance_u.add_(variance_v).add_(_C2))
    luminance = (squared_u - squared_v).add_(_C1).div_(squared_u.add_(squared_v).add_(_C1))
    ssim = luminance.mul_(contrast)
    return torch.stack([ssim.mean(), _inside(ssim).mean(), _inside(contrast).mean()])


def _inside(plane: Tensor) -> Tensor:
    return plane[_BORDER:-_BORDER, _BORDER:-_BORDER]


def _windowed(plane: Tensor) -> Tensor:
    """Gaussian mean around each pixel of a plane (H, W) float64, borders reflected."""
    # OpenCV's separable filter is 2 to 3 times faster on CPU than torch's convolution
    return _windowed_by_opencv(plane) if plane.is_cpu else _windowed_by_torch(plane)


def _windowed_by_opencv(plane: Tensor) -> Tensor:
    import cv2
    import numpy as np
    import torch

    taps = np.array(_KERNEL)
    filtered = cv2.sepFilter2D(plane.numpy(), -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    return torch.from_numpy(filtered)


def _windowed_by_torch(plane: Tensor) -> Tensor:
    from torch.nn.functional import conv2d, pad

    row = plane.new_tensor(_KERNEL).view(1, 1, 1, WINDOW)
    padded = pad(plane[None, None], [_BORDER] * 4, mode="reflect")
    return conv2d(conv2d(padded, row), row.transpose(2, 3))[0, 0]
