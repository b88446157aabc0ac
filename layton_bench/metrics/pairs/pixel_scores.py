"""The pure functions behind ``pixel``: candidate and reference → one number per image."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.pairs import colour, ssim
from layton_bench.metrics.pairs.opencv import opencv

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from layton_bench.types import ScoredBatch

    Scores = NDArray[np.float64]

PEAK = 255.0
LUMA_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Rec. 709, the primaries of sRGB, for gamma-encoded levels: luma, not luminance."""

# Values of an image at a time: some arrays of 16 MiB for each image of the batch.
_BLOCK_VALUES = 2**22


class Comparison:
    """The images of a batch on one device. What several metrics need is computed once.

    Args:
        candidates, references: uint8 RGB (B, 3, H, W).
    """

    def __init__(self, candidates: Tensor, references: Tensor) -> None:
        self.candidates = candidates
        self.references = references

    def __len__(self) -> int:
        """Number of images."""
        return len(self.candidates)

    @property
    def shorter_side_px(self) -> int:
        """The smaller one of height and width, in pixels."""
        return min(self.candidates.shape[-2:])

    @cached_property
    def similarity(self) -> ssim.Similarity:
        """SSIM and its parts, float64 (B,) each."""
        return ssim.similarity(self.candidates, self.references)

    @cached_property
    def colour(self) -> colour.ColourDifference:
        """CIEDE2000 and the shifts of a* and b*, float64 (B,) each."""
        return colour.colour_difference(self.candidates, self.references)


def comparison(batch: ScoredBatch, device: str) -> Comparison:
    """Return the batch's images on a device: one object for all metrics that use the device."""
    # float64 does not exist on Apple's GPUs
    place = "cpu" if device.startswith("mps") else device
    return batch.shared(
        ("comparison", place),
        lambda: Comparison(batch.candidates.to(place), batch.paired_references().to(place)),
    )


def psnr_from_mse(mse: ArrayLike) -> Scores:
    """Return 10 log10(255² / MSE) in dB; infinite if the MSE is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(PEAK**2 / np.asarray(mse, dtype=np.float64)))


def mean_squared_error(pair: Comparison) -> Scores:
    """Return the MSE of each image over pixels and channels, in squared grey levels; exact."""
    x, y = pair.candidates.flatten(1), pair.references.flatten(1)
    by_opencv = x.is_cpu and opencv() is not None
    return (_squared_by_opencv if by_opencv else _squared_by_torch)(x, y) / x.shape[1]


def _squared_by_opencv(x: Tensor, y: Tensor) -> Scores:
    """Return the sum of squared differences of each row, a whole number; no temporary arrays."""
    import cv2

    pairs = zip(x.numpy(), y.numpy(), strict=True)
    # rounded, because OpenCV returns the square of a square root
    return np.rint([cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in pairs])


def _squared_by_torch(x: Tensor, y: Tensor) -> Scores:
    """Return the same whole numbers, computed from blocks that fit into memory."""
    import torch

    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for a, b in zip(x.split(_BLOCK_VALUES, dim=1), y.split(_BLOCK_VALUES, dim=1), strict=True):
        # differences of levels and their squares are exact in float32, sums in float64
        total += (a.float() - b).square().sum(1, dtype=torch.float64)
    return _floats(total)


def psnr(pair: Comparison) -> Scores:
    """Return the PSNR of each image in dB; infinite for an exact reconstruction."""
    return psnr_from_mse(mean_squared_error(pair))


def brightness_bias(pair: Comparison) -> Scores:
    """Return the mean luma of each candidate minus that of its reference, in grey levels."""
    height, width = pair.candidates.shape[2:]
    sums = _channel_sums(pair.candidates) - _channel_sums(pair.references)
    bias: Scores = _floats(sums) / (height * width) @ np.array(LUMA_WEIGHTS)
    return bias


def _channel_sums(images: Tensor) -> Tensor:
    """Return the sum of each channel, int64 (B, 3); by blocks, as torch sums copies of uint8."""
    blocks = images.flatten(2).split(_BLOCK_VALUES, dim=2)
    total: Tensor = sum((block.sum(2) for block in blocks[1:]), start=blocks[0].sum(2))
    return total


def ssim_full(pair: Comparison) -> Scores:
    """Return the SSIM of each image over the whole map; NaN if it is smaller than the window."""
    if pair.shorter_side_px < ssim.MIN_SIDE_PX:
        return _undefined(pair)
    return _floats(pair.similarity.full)


def ssim_cropped(pair: Comparison) -> Scores:
    """Return the SSIM of each image without the border; NaN if it is smaller than the window."""
    if pair.shorter_side_px < ssim.MIN_SIDE_PX:
        return _undefined(pair)
    return _floats(pair.similarity.cropped)


def ms_ssim(pair: Comparison) -> Scores:
    """Return the MS-SSIM of each image; NaN below 176 px."""
    if pair.shorter_side_px < ssim.MS_MIN_SIDE_PX:
        return _undefined(pair)
    return _floats(ssim.multi_scale(pair.candidates, pair.references, pair.similarity))


def delta_e(pair: Comparison) -> Scores:
    """Return the mean CIEDE2000 over the pixels of each image."""
    return _floats(pair.colour.delta_e)


def colour_shift_a(pair: Comparison) -> Scores:
    """Return each candidate's mean a* minus its reference's: above 0 redder, below greener."""
    return _floats(pair.colour.shift_a)


def colour_shift_b(pair: Comparison) -> Scores:
    """Return each candidate's mean b* minus its reference's: above 0 yellower, below bluer."""
    return _floats(pair.colour.shift_b)


def _floats(values: Tensor) -> Scores:
    floats: Scores = values.double().cpu().numpy()
    return floats


def _undefined(pair: Comparison) -> Scores:
    return np.full(len(pair), np.nan)
