"""Candidate against reference, pixel by pixel: PSNR, SSIM, MS-SSIM, ΔE00 and signed drifts.

Every metric here compares uint8 RGB pictures of 0..255 after the suite's rounding, and its value is
the mean over images of one number an image. Where libraries disagree:

- ``psnr``: mean over images of 10 log10(255² / MSE), the MSE over all pixels and channels; what
  published tables report (scikit-image called once an image). ``psnr-pooled`` takes the MSE over
  the whole set first: torchmetrics' default (``dim=None``). It is never above ``psnr``.
- ``ssim``: Gaussian window of 11 × 11, σ 1.5, data range 255, each RGB channel by itself, mean over
  the whole map with reflected borders: torchmetrics. ``ssim-skimage`` leaves the border of 5 pixels
  out: scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``, and the
  window of the original paper. Some published scripts (LlamaGen's among them) give a data range of
  2 to images in [0, 1]; their SSIM is higher and comparable with neither.
- ``ms-ssim``: torchmetrics, on RGB; several libraries take the luma, which is another number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.intervals import bootstrap_mean, bootstrap_means
from layton_bench.metrics import colour, ssim
from layton_bench.metrics.base import (
    Direction,
    MetricContext,
    MetricSpec,
    PerSampleMetric,
    State,
)
from layton_bench.types import MetricValue, ScoredBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

PEAK = 255.0
LUMA_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Rec. 709, the primaries of sRGB; applied to the gamma-encoded levels (luma, not luminance)."""

_TOO_SMALL_FOR_SSIM = f"SSIM needs sides of {ssim.MIN_SIDE_PX} px or more"
_TOO_SMALL_FOR_MS_SSIM = f"MS-SSIM needs sides of {ssim.MS_MIN_SIDE_PX} px or more"


def psnr_from_mse(mse: ArrayLike) -> NDArray[np.float64]:
    """10 log10(255² / MSE) in dB; infinite where the MSE is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(PEAK**2 / np.asarray(mse, dtype=np.float64)))


def mean_squared_error(batch: ScoredBatch) -> NDArray[np.float64]:
    """MSE of each image over pixels and channels, in squared grey levels; exact."""
    import torch

    difference = _difference(batch).flatten(1).int()
    return difference.square_().sum(1, dtype=torch.int64).double().numpy() / difference.shape[1]


def psnr(batch: ScoredBatch) -> NDArray[np.float64]:
    """PSNR of each image in dB; infinite for an exact reconstruction."""
    return psnr_from_mse(mean_squared_error(batch))


def brightness_bias(batch: ScoredBatch) -> NDArray[np.float64]:
    """Mean luma of the candidate less that of its reference, in grey levels of 255."""
    import torch

    difference = _difference(batch)
    num_pixels = difference.shape[2] * difference.shape[3]
    channels = difference.sum((2, 3), dtype=torch.int64).double() / num_pixels
    return (channels @ channels.new_tensor(LUMA_WEIGHTS)).numpy()


def ssim_full(batch: ScoredBatch) -> Sequence[float]:
    """SSIM of each image over the whole map; NaN for images smaller than the window."""
    if _shorter_side(batch) < ssim.MIN_SIDE_PX:
        return [math.nan] * len(batch)
    return _similarity(batch).full.tolist()


def ssim_cropped(batch: ScoredBatch) -> Sequence[float]:
    """SSIM of each image without the border; NaN for images smaller than the window."""
    if _shorter_side(batch) < ssim.MIN_SIDE_PX:
        return [math.nan] * len(batch)
    return _similarity(batch).cropped.tolist()


def ms_ssim(batch: ScoredBatch) -> Sequence[float]:
    """MS-SSIM of each image; NaN below 176 px."""
    if _shorter_side(batch) < ssim.MS_MIN_SIDE_PX:
        return [math.nan] * len(batch)
    pair = batch.candidates, batch.paired_references()
    return ssim.multi_scale(*pair, _similarity(batch)).tolist()


def delta_e(batch: ScoredBatch) -> Sequence[float]:
    """Mean CIEDE2000 over the pixels of each image."""
    return _colour(batch).delta_e.tolist()


def colour_shift_a(batch: ScoredBatch) -> Sequence[float]:
    """Mean a* of each candidate less that of its reference: above 0 is redder, below greener."""
    return _colour(batch).shift_a.tolist()


def colour_shift_b(batch: ScoredBatch) -> Sequence[float]:
    """Mean b* of each candidate less that of its reference: above 0 is yellower, below bluer."""
    return _colour(batch).shift_b.tolist()


def _difference(batch: ScoredBatch) -> Tensor:
    """Candidates less references, int16 (B, 3, H, W)."""
    return batch.shared(
        "pixel difference", lambda: batch.candidates.short() - batch.paired_references().short()
    )


def _similarity(batch: ScoredBatch) -> ssim.Similarity:
    return batch.shared(
        "similarity", lambda: ssim.similarity(batch.candidates, batch.paired_references())
    )


def _colour(batch: ScoredBatch) -> colour.ColourDifference:
    return batch.shared(
        "colour difference",
        lambda: colour.colour_difference(batch.candidates, batch.paired_references()),
    )


def _shorter_side(batch: ScoredBatch) -> int:
    return min(batch.candidates.shape[-2:])


class PooledPSNR(PerSampleMetric):
    """PSNR of the MSE over the whole set; its column holds each image's MSE."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__("mse", mean_squared_error, seed=seed)

    def compute(self) -> MetricValue:
        """The value in dB, its interval from resampled MSEs."""
        mse = self.state()["values"]
        if len(mse) == 0:
            return MetricValue(value=None, n=0, note="no samples")
        high, low = (
            None if bound is None else float(psnr_from_mse(bound))
            for bound in bootstrap_mean(mse, seed=self._seed)
        )
        return MetricValue(value=float(psnr_from_mse(mse.mean())), low=low, high=high, n=len(mse))


class ColourBias:
    """How far the mean colour drifts: the length of the mean (Δa*, Δb*) over the set.

    Drifts that differ from image to image cancel, a cast that all share stays. The length of a
    mean is never negative, so its interval does not reach below 0 where there is no drift. The
    signed shifts are its columns, and metrics of their own: ``colour-bias-a``, ``colour-bias-b``.

    Args:
        seed: of the bootstrap over images.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._shift_a = PerSampleMetric("colour-bias-a", colour_shift_a)
        self._shift_b = PerSampleMetric("colour-bias-b", colour_shift_b)
        self._seed = seed

    def update(self, batch: ScoredBatch) -> None:
        """Take a batch in."""
        self._shift_a.update(batch)
        self._shift_b.update(batch)

    def merge(self, other: ColourBias) -> None:
        """Take in another accumulator's samples."""
        self._shift_a.merge(other._shift_a)
        self._shift_b.merge(other._shift_b)

    def state(self) -> State:
        """Keys and both shifts, sorted by key."""
        state_a, state_b = self._shift_a.state(), self._shift_b.state()
        return {"keys": state_a["keys"], "a": state_a["values"], "b": state_b["values"]}

    def load_state(self, state: State) -> None:
        """Replace the samples."""
        self._shift_a.load_state({"keys": state["keys"], "values": state["a"]})
        self._shift_b.load_state({"keys": state["keys"], "values": state["b"]})

    def compute(self) -> MetricValue:
        """The length and its interval."""
        shifts = [m.state()["values"] for m in (self._shift_a, self._shift_b)]
        n = len(shifts[0])
        if n == 0:
            return MetricValue(value=None, n=0, note="no samples")
        mean_a, mean_b = (float(shift.mean()) for shift in shifts)
        low = high = None
        if n > 1:
            # one seed, hence the same resampled images for both components
            draws = [bootstrap_means(shift, seed=self._seed) for shift in shifts]
            low, high = map(float, np.quantile(np.hypot(*draws), [0.025, 0.975]))
        return MetricValue(value=math.hypot(mean_a, mean_b), low=low, high=high, n=n)

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """The signed shifts of each image."""
        return {**self._shift_a.per_sample(), **self._shift_b.per_sample()}


def _spec(
    name: str,
    label: str,
    direction: Direction,
    summary: str,
    score: Callable[[ScoredBatch], Sequence[float] | NDArray[np.float64]],
    *,
    signature: Mapping[str, str],
    unit: str = "",
    digits: int = 3,
    undefined: str = "not defined",
) -> MetricSpec:
    """A metric that is the mean over images of ``score``."""

    def make(context: MetricContext) -> PerSampleMetric:
        return PerSampleMetric(name, score, seed=context.seed, undefined=undefined)

    return MetricSpec(
        name=name,
        label=label,
        direction=direction,
        summary=summary,
        make=make,
        unit=unit,
        digits=digits,
        needs=frozenset({"reference"}),
        signature=signature,
    )


_LAB = {"space": "cielab-d65"}
_WINDOW = {"range": "255", "win": f"gauss{ssim.WINDOW}-{ssim.SIGMA}"}

SPECS: tuple[MetricSpec, ...] = (
    _spec(
        "psnr",
        "PSNR",
        "higher",
        "peak signal-to-noise ratio, mean over images",
        psnr,
        unit="dB",
        digits=2,
        signature={"range": "255", "mean": "image"},
    ),
    MetricSpec(
        name="psnr-pooled",
        label="PSNR (pooled)",
        direction="higher",
        summary="peak signal-to-noise ratio of the squared error over the whole set",
        make=lambda context: PooledPSNR(seed=context.seed),
        unit="dB",
        digits=2,
        needs=frozenset({"reference"}),
        signature={"range": "255", "mean": "set"},
    ),
    _spec(
        "ssim",
        "SSIM",
        "higher",
        "structural similarity on RGB, whole map (torchmetrics)",
        ssim_full,
        signature={**_WINDOW, "map": "full"},
        undefined=_TOO_SMALL_FOR_SSIM,
    ),
    _spec(
        "ssim-skimage",
        "SSIM (inner)",
        "higher",
        "structural similarity on RGB, border left out (scikit-image)",
        ssim_cropped,
        signature={**_WINDOW, "map": "inner"},
        undefined=_TOO_SMALL_FOR_SSIM,
    ),
    _spec(
        "ms-ssim",
        "MS-SSIM",
        "higher",
        "structural similarity on RGB over five scales (torchmetrics)",
        ms_ssim,
        signature={**_WINDOW, "scales": str(len(ssim.LEVEL_WEIGHTS))},
        undefined=_TOO_SMALL_FOR_MS_SSIM,
    ),
    _spec(
        "delta-e",
        "ΔE00",
        "lower",
        "CIEDE2000 colour difference, mean over pixels and images",
        delta_e,
        digits=2,
        signature=_LAB,
    ),
    _spec(
        "brightness-bias",
        "Brightness bias",
        "zero",
        "mean luma of the candidate less that of the reference, in grey levels",
        brightness_bias,
        digits=2,
        signature={"luma": "rec709"},
    ),
    MetricSpec(
        name="colour-bias",
        label="Colour bias",
        direction="zero",
        summary="length of the mean shift (Δa*, Δb*) over the set: a cast that all images share",
        make=lambda context: ColourBias(seed=context.seed),
        digits=2,
        needs=frozenset({"reference"}),
        signature=_LAB,
    ),
    _spec(
        "colour-bias-a",
        "Δa*",
        "zero",
        "mean a* of the candidate less that of the reference: above 0 redder, below greener",
        colour_shift_a,
        digits=2,
        signature=_LAB,
    ),
    _spec(
        "colour-bias-b",
        "Δb*",
        "zero",
        "mean b* of the candidate less that of the reference: above 0 yellower, below bluer",
        colour_shift_b,
        digits=2,
        signature=_LAB,
    ),
)
