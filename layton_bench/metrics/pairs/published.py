"""Metrics as published scripts compute them, where that is not what their name says.

They exist to explain published numbers, not to be reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric
from layton_bench.types import ScoredBatch

_DATA_RANGE = 2.0


def ssim_range2(batch: ScoredBatch) -> Sequence[float]:
    """SSIM of images in [0, 1] with a data range of 2, as LlamaGen's reconstruction script has it.

    scikit-image's ``structural_similarity`` with its default uniform 7 × 7 window and sample
    covariance, each RGB channel by itself. The constants C1 and C2 grow with the square of the data
    range, so the value is higher than with the right one; numbers quoted from that script (0.675
    for LlamaGen VQ-16 at 256 px, against 0.558) carry it.
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
        summary="SSIM with a data range of 2 on [0, 1] images: LlamaGen's script; to explain it",
        make=_make,
        needs=frozenset({"reference"}),
        signature={"range": "2-on-unit", "win": "uniform7", "cov": "sample"},
    ),
)
