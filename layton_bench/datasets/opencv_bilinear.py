"""Bilinear resizing of uint8 images, bit for bit as OpenCV's INTER_LINEAR computes it.

OpenCV itself is not needed. Pixel centres are at half integers, there is no antialiasing, and the
arithmetic is in fixed point: weights of 11 bits, four bits dropped between the two passes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layton_bench.images import UInt8Array

IntArray = NDArray[np.int32]

_ONE = 1 << 11


class _Taps(NamedTuple):
    """For each output position the two input positions and their weights, which sum to 2^11."""

    first: IntArray
    second: IntArray
    first_weight: IntArray
    second_weight: IntArray


def resize_opencv_bilinear(pixels: UInt8Array, width: int, height: int) -> UInt8Array:
    """Resize uint8 (H, W, C) to (height, width, C)."""
    across = _taps(pixels.shape[1], width, is_vertical=False)
    down = _taps(pixels.shape[0], height, is_vertical=True)
    wide = pixels.astype(np.int32)
    rows = wide[:, across.first] * across.first_weight[:, None]
    rows += wide[:, across.second] * across.second_weight[:, None]
    rows >>= 4
    result = (rows[down.first] * down.first_weight[:, None, None]) >> 16
    result += (rows[down.second] * down.second_weight[:, None, None]) >> 16
    return ((result + 2) >> 2).astype(np.uint8)


def _taps(source: int, target: int, *, is_vertical: bool) -> _Taps:
    # float32 positions of float64 arithmetic, as there
    positions = ((np.arange(target) + 0.5) * (1.0 / (target / source)) - 0.5).astype(np.float32)
    first = np.floor(positions).astype(np.int32)
    share = positions - first.astype(np.float32)
    if not is_vertical:
        # beyond the outer pixels' centres one tap alone counts; vertically both do, on one row
        share[(first < 0) | (first >= source - 1)] = 0
    weights = (np.rint(part * np.float32(_ONE)).astype(np.int32) for part in (1 - share, share))
    return _Taps(first.clip(0, source - 1), (first + 1).clip(0, source - 1), *weights)
