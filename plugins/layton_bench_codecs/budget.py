"""The best file within a byte budget: a search over quality and scale.

The search starts at the largest scale at which the lowest level fits, and goes down. Each scale is
tried with the highest level that fits. The restored picture with the smallest squared error wins.
The first scale that fits would be a weak baseline. At the lowest qualities, every format is 0.5 to
1 dB worse than a smaller picture of fair quality. JPEG 2000 can meet any budget at full size, but
is 3 dB worse there at 448 bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from layton_bench import UserError
from layton_bench_codecs.formats import Format, decode, encode_at_level, smallest_budget

# Scales go down by the square root of 2: the area halves at each step.
_STEPS_PER_HALVING = 2
# Scales tried without gain before the search ends; the error is not quite unimodal in scale.
_PATIENCE = 2


def check_budget(form: Format, budget: int) -> None:
    """Raise UserError if the format's overhead alone exceeds the budget."""
    smallest = smallest_budget(form)
    if budget < smallest:
        raise UserError(
            f"model '{form.name}@{budget}B'",
            f"{form.title} needs {smallest} bytes for its headers and tables alone",
            f"The smallest budget it can meet is {form.name}@{smallest}B.",
        )


def encode_within(picture: Image.Image, form: Format, budget: int) -> bytes:
    """Return the best file of ``picture`` of at most ``budget`` bytes.

    Raises:
        UserError: even a picture of one pixel needs more.
    """
    pictures = _Scales(picture)
    lowest = form.levels[0]
    largest = _first(
        lambda step: len(encode_at_level(pictures[step], form, lowest, budget)) <= budget,
        len(pictures),
    )
    if largest is None:
        check_budget(form, budget)
        raise UserError(
            f"model '{form.name}@{budget}B'",
            "one picture does not fit, even as a single pixel",
            "Use a larger budget.",
        )
    return _nearest_over_scales(pictures, largest, form, budget)


def restore(payload: bytes, form: Format, size_px: tuple[int, int]) -> Image.Image:
    """Return the picture in a file, resized to its original size (H, W)."""
    height, width = size_px
    return _resized(decode(payload, form), (width, height))


class _Scales:
    """The picture at each step of scale, 0 the original and the last one pixel."""

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture

    def __len__(self) -> int:
        return math.ceil(math.log2(max(self._picture.size)) * _STEPS_PER_HALVING) + 1

    def __getitem__(self, step: int) -> Image.Image:
        if step == len(self) - 1:
            return _resized(self._picture, (1, 1))
        scale = 2 ** (-step / _STEPS_PER_HALVING)
        width, height = (max(1, round(side * scale)) for side in self._picture.size)
        return _resized(self._picture, (width, height))


def _nearest_over_scales(pictures: _Scales, largest: int, form: Format, budget: int) -> bytes:
    original = pictures[0]
    best, least_error, without_gain = b"", math.inf, 0
    for step in range(largest, len(pictures)):
        picture = pictures[step]
        # if resizing alone loses more than the best file, smaller scales cannot win
        if _squared_error(picture, original) >= least_error:
            break
        payload = _highest_level(picture, form, budget)
        error = _squared_error(decode(payload, form), original)
        if error < least_error:
            best, least_error, without_gain = payload, error, 0
        else:
            without_gain += 1
        if without_gain == _PATIENCE:
            break
    return best


def _highest_level(picture: Image.Image, form: Format, budget: int) -> bytes:
    """Return the file of the highest level that fits; the lowest level must fit.

    File sizes grow with the level, with small exceptions. The bisection may therefore end one level
    below the best one, but never at a file that is too large.
    """
    best = encode_at_level(picture, form, form.levels[0], budget)
    fits, too_large = 0, len(form.levels)
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        payload = encode_at_level(picture, form, form.levels[middle], budget)
        if len(payload) <= budget:
            fits, best = middle, payload
        else:
            too_large = middle
    return best


def _first(holds: Callable[[int], bool], count: int) -> int | None:
    """Return the smallest index at which ``holds``; None if there is none.

    ``holds`` must stay true from that index on.
    """
    if not holds(count - 1):
        return None
    fails, true_at = -1, count - 1
    while true_at - fails > 1:
        middle = (fails + true_at) // 2
        if holds(middle):
            true_at = middle
        else:
            fails = middle
    return true_at


def _squared_error(picture: Image.Image, original: Image.Image) -> float:
    """Summed over all pixels and channels, after resizing to the original's size."""
    restored = _resized(picture, original.size)
    difference = np.asarray(restored, dtype=np.int32) - np.asarray(original, dtype=np.int32)
    return float(np.square(difference).sum())


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
