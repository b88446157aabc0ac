"""Candidate against reference, pixel by pixel: PSNR, SSIM, MS-SSIM, ΔE00, brightness and colour.

Every metric here compares uint8 RGB images, 0..255, after the suite's rounding. Its value is the
mean of one number per image. Conventions differ between libraries:

- ``psnr``: mean over images of 10 log10(255² / MSE), the MSE over all pixels and channels. This is
  what published tables report (scikit-image, image by image). ``psnr-pooled`` uses the MSE over the
  whole set: torchmetrics' default (``dim=None``). It is never above ``psnr``.
- ``ssim``: Gaussian window of 11 × 11, σ 1.5, data range 255, each RGB channel by itself, mean over
  the whole map with reflected borders: torchmetrics. ``ssim-skimage`` leaves out a border of 5
  pixels: scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``, and
  the window of the original paper. Some published scripts, for example LlamaGen's, use a data range
  of 2 for images in [0, 1]. Their SSIM is higher, and comparable with neither.
- ``ms-ssim``: torchmetrics, on RGB. Several libraries use the luma, which gives another number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.intervals import mean_interval
from layton_bench.metrics.base import Direction, MetricContext, MetricSpec, PerSampleMetric
from layton_bench.metrics.pairs import pixel_scores, ssim
from layton_bench.metrics.pairs.pixel_scores import Comparison, comparison, psnr_from_mse
from layton_bench.metrics.sample_rows import SampleRows
from layton_bench.types import MetricValue, ScoredBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layton_bench.metrics.state import State

    Score = Callable[[Comparison], NDArray[np.float64]]

# Without a shift, 5 % of lengths are above 2.45 standard errors: √(x² + y²) of normal x and y. A
# normal variable is within 2.45 standard errors in 98.56 % of cases.
_OF_LENGTH = 0.9856

_TOO_SMALL_FOR_SSIM = f"SSIM needs sides of {ssim.MIN_SIDE_PX} px or more"
_TOO_SMALL_FOR_MS_SSIM = f"MS-SSIM needs sides of {ssim.MS_MIN_SIDE_PX} px or more"


def _per_image(
    name: str, score: Score, context: MetricContext, *, undefined: str = "not defined"
) -> PerSampleMetric:
    """Return the mean over images of a score, computed on the context's device."""

    def scores(batch: ScoredBatch) -> NDArray[np.float64]:
        return score(comparison(batch, context.device))

    return PerSampleMetric(name, scores, undefined=undefined)


class PooledPSNR(PerSampleMetric):
    """PSNR of the MSE over the whole set. Its column holds each image's MSE.

    Args:
        context: names the device.
    """

    def __init__(self, context: MetricContext) -> None:
        def scores(batch: ScoredBatch) -> NDArray[np.float64]:
            return pixel_scores.mean_squared_error(comparison(batch, context.device))

        super().__init__("mse", scores)

    def compute(self) -> MetricValue:
        """Return the value in dB, with the interval of the mean of value + influence."""
        mean_of_images = super().compute()
        mean, n, note = mean_of_images.value, mean_of_images.n, mean_of_images.note
        if mean is None:
            return mean_of_images
        value = float(psnr_from_mse(mean))
        if mean == 0:
            return MetricValue(value=value, low=value, high=value, n=n, note=note)
        mse = self._rows.column("values")
        # d/dm of −10 log10 m is −10 / (m ln 10)
        influence = -10 / math.log(10) * (mse - mean) / mean
        low, high = mean_interval(value + influence)
        return MetricValue(
            value=value, low=low, high=high, n=n, note=note,
            influence=dict(zip(self._rows.keys(), influence.tolist(), strict=True)),
        )  # fmt: skip


class ColourBias:
    """How far the mean colour is shifted: the length of the mean (Δa*, Δb*) over the set.

    Shifts that differ between images cancel out; a cast that all images share remains. The value
    and its interval are never negative. The signed shifts are columns of this metric, and metrics
    of their own: ``colour-bias-a``, ``colour-bias-b``.

    Args:
        context: names the device.
    """

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._rows = SampleRows("colour-bias", ["a", "b"])

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why there is no value."""
        return self._rows.failures.reasons

    def update(self, batch: ScoredBatch) -> None:
        """Add the samples of a batch."""
        self._rows.update(batch, self._shifts)

    def _shifts(self, batch: ScoredBatch) -> NDArray[np.float64]:
        pair = comparison(batch, self._context.device)
        shifts = (pixel_scores.colour_shift_a(pair), pixel_scores.colour_shift_b(pair))
        return np.stack(shifts, axis=1)

    def merge(self, other: ColourBias) -> None:
        """Add another accumulator's samples."""
        self._rows.merge(other._rows)

    def state(self) -> State:
        """Return ``keys`` (n,), sorted, both shifts ``a`` and ``b`` float64 (n,), and failures."""
        return self._rows.state()

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state."""
        self._rows.load_state(state)

    def compute(self) -> MetricValue:
        """Return the length, with the interval of the shifts along its direction."""
        shift_a, shift_b = self._rows.column("a"), self._rows.column("b")
        n, note = len(self._rows), self._rows.note()
        if n == 0:
            return MetricValue(value=None, n=0, note="no samples")
        mean_a, mean_b = float(shift_a.mean()), float(shift_b.mean())
        length = math.hypot(mean_a, mean_b)
        if length == 0:  # a length of 0 has no derivative
            return MetricValue(value=0.0, n=n, note=note)
        along = (mean_a * shift_a + mean_b * shift_b) / length
        low, high = mean_interval(along)
        least, _ = mean_interval(along, confidence=_OF_LENGTH)
        if least is not None and least <= 0:  # the shift may be 0
            low = 0.0
        return MetricValue(
            value=length, low=low, high=high, n=n, note=note,
            influence=dict(zip(self._rows.keys(), (along - length).tolist(), strict=True)),
        )  # fmt: skip

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return the signed shifts of each image."""
        return {f"colour-bias-{axis}": self._rows.by_key(axis) for axis in ("a", "b")}


def _spec(
    name: str,
    label: str,
    direction: Direction,
    summary: str,
    score: Score,
    *,
    signature: Mapping[str, str],
    unit: str = "",
    digits: int = 3,
    undefined: str = "not defined",
) -> MetricSpec:
    """Return the spec of a metric that is the mean over images of ``score``."""
    return MetricSpec(
        name=name,
        label=label,
        direction=direction,
        summary=summary,
        make=lambda context: _per_image(name, score, context, undefined=undefined),
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
        pixel_scores.psnr,
        unit="dB",
        digits=2,
        signature={"range": "255", "mean": "image"},
    ),
    MetricSpec(
        name="psnr-pooled",
        label="PSNR (pooled)",
        direction="higher",
        summary="peak signal-to-noise ratio of the squared error over the whole set",
        make=PooledPSNR,
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
        pixel_scores.ssim_full,
        signature={**_WINDOW, "map": "full"},
        undefined=_TOO_SMALL_FOR_SSIM,
    ),
    _spec(
        "ssim-skimage",
        "SSIM (inner)",
        "higher",
        "structural similarity on RGB, without the border (scikit-image)",
        pixel_scores.ssim_cropped,
        signature={**_WINDOW, "map": "inner"},
        undefined=_TOO_SMALL_FOR_SSIM,
    ),
    _spec(
        "ms-ssim",
        "MS-SSIM",
        "higher",
        "structural similarity on RGB over five scales (torchmetrics)",
        pixel_scores.ms_ssim,
        signature={**_WINDOW, "scales": str(len(ssim.LEVEL_WEIGHTS))},
        undefined=_TOO_SMALL_FOR_MS_SSIM,
    ),
    _spec(
        "delta-e",
        "ΔE00",
        "lower",
        "CIEDE2000 colour difference, mean over pixels and images",
        pixel_scores.delta_e,
        digits=2,
        signature=_LAB,
    ),
    _spec(
        "brightness-bias",
        "Brightness bias",
        "zero",
        "mean luma of the candidate minus that of the reference, in grey levels",
        pixel_scores.brightness_bias,
        digits=2,
        signature={"luma": "rec709"},
    ),
    MetricSpec(
        name="colour-bias",
        label="Colour bias",
        direction="zero",
        summary="length of the mean shift (Δa*, Δb*): a colour cast that all images share",
        make=ColourBias,
        digits=2,
        needs=frozenset({"reference"}),
        signature=_LAB,
    ),
    _spec(
        "colour-bias-a",
        "Δa*",
        "zero",
        "mean a* of the candidate minus that of the reference: above 0 redder, below greener",
        pixel_scores.colour_shift_a,
        digits=2,
        signature=_LAB,
    ),
    _spec(
        "colour-bias-b",
        "Δb*",
        "zero",
        "mean b* of the candidate minus that of the reference: above 0 yellower, below bluer",
        pixel_scores.colour_shift_b,
        digits=2,
        signature=_LAB,
    ),
)
