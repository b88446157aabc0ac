"""Metrics of published scripts that differ from what their name says.

They explain published numbers. Do not report them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric
from layton_bench.types import ScoredBatch

_DATA_RANGE = 2.0


def ssim_range2(batch: ScoredBatch) -> Sequence[float]:
    """Return SSIM of images in [0, 1] with a data range of 2, like LlamaGen's script, (B,).

    It is scikit-image's ``structural_similarity`` with its default uniform window of 7 × 7 and
    sample covariance, each RGB channel by itself. The constants C1 and C2 grow with the square of
    the data range, so the value is too high. Numbers from that script contain this error: 0.675 for
    LlamaGen VQ-16 at 256 px, where 0.558 is right.
    """
    from skimage.metrics import structural_similarity

    pairs = zip(_unit(batch.candidates), _unit(batch.paired_references()), strict=True)
    return [
        float(structural_similarity(ours, theirs, channel_axis=0, data_range=_DATA_RANGE))
        for ours, theirs in pairs
    ]


def _unit(images: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """uint8 0..255 → float64 in [0, 1], (B, 3, H, W)."""
    return np.asarray(images, dtype=np.float64) / 255.0


def _make(_: MetricContext) -> PerSampleMetric:
    return PerSampleMetric("ssim-range2", ssim_range2)


SPECS = (
    MetricSpec(
        name="ssim-range2",
        label="SSIM (range 2)",
        direction="higher",
        summary="SSIM of LlamaGen's script, with a wrong data range: explains published numbers",
        make=_make,
        needs=frozenset({"reference"}),
        signature={"range": "2-on-unit", "win": "uniform7", "cov": "sample"},
    ),
)
