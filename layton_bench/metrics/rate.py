"""What the codes cost: bits per image and bits per pixel.

A tokenizer's image costs N · log2(codebook_size) bits (256 tokens of 16,384 entries: 3,584 bits =
448 bytes), continuous latents the bits of their dtype, a codec's payload the bytes of its file.
No entropy coder is assumed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layton_bench.types import ScoredBatch

_NO_CODES = "there are no codes: the pictures were given, or drawn by a generator"


def bits_per_image(batch: ScoredBatch) -> Sequence[float]:
    """Bits of each image's codes; NaN where the batch carries none."""
    if batch.codes is None:
        return [math.nan] * len(batch)
    return batch.codes.bits()


def bits_per_pixel(batch: ScoredBatch) -> Sequence[float]:
    """Bits of each image's codes over height · width of the suite's images."""
    height, width = batch.candidates.shape[-2:]
    return [bits / (height * width) for bits in bits_per_image(batch)]


def _make_bits(_: MetricContext) -> PerSampleMetric:
    return PerSampleMetric("bits-per-image", bits_per_image, undefined=_NO_CODES)


def _make_bpp(_: MetricContext) -> PerSampleMetric:
    return PerSampleMetric("bpp", bits_per_pixel, undefined=_NO_CODES)


SPECS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="bits-per-image",
        label="Bits/image",
        direction="none",
        summary="bits of the codes of one image, mean over images",
        make=_make_bits,
        digits=0,
        needs=frozenset({"codes"}),
    ),
    MetricSpec(
        name="bpp",
        label="bpp",
        direction="none",
        summary="bits of the codes per pixel of the suite's images, mean over images",
        make=_make_bpp,
        needs=frozenset({"codes"}),
    ),
)
