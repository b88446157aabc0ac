"""Size of the codes: bits per image and bits per pixel.

Codes of a tokenizer take N · log2(codebook_size) bits per image: 256 tokens of 16,384 entries are
3,584 bits, or 448 bytes. Continuous latents take the bits of their dtype, a codec's payload the
bytes of its file. No entropy coder is assumed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layton_bench.types import ScoredBatch

_NO_CODES = "no codes: the images come from a folder or a generator"


def bits_per_image(batch: ScoredBatch) -> Sequence[float]:
    """Return bits of each image's codes, (B,); NaN if the batch has no codes."""
    if batch.codes is None:
        return [math.nan] * len(batch)
    return batch.codes.bits()


def bits_per_pixel(batch: ScoredBatch) -> Sequence[float]:
    """Return bits of each image's codes per pixel of the suite's images, (B,)."""
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
        summary="bits of an image's codes, mean over images",
        make=_make_bits,
        digits=0,
        needs=frozenset({"codes"}),
    ),
    MetricSpec(
        name="bpp",
        label="bpp",
        direction="none",
        summary="bits of an image's codes per pixel, mean over images",
        make=_make_bpp,
        needs=frozenset({"codes"}),
    ),
)
