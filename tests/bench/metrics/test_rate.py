"""Bits per image and per pixel."""

from __future__ import annotations

import math

import pytest
import torch

from layton_bench.metrics import rate
from layton_bench.metrics.base import MetricContext
from layton_bench.types import Codes, MetricValue, ScoredBatch

SPECS = {spec.name: spec for spec in rate.SPECS}


def scored(codes: Codes | None, *, count: int = 2, size: tuple[int, int] = (16, 32)) -> ScoredBatch:
    pixels = torch.zeros(count, 3, *size, dtype=torch.uint8)
    keys = tuple(f"k{i}" for i in range(count))
    return ScoredBatch(keys=keys, candidates=pixels, references=pixels, codes=codes)


def value_of(name: str, batch: ScoredBatch) -> MetricValue:
    metric = SPECS[name].make(MetricContext(features=None))
    metric.update(batch)
    return metric.compute()


def test_256_tokens_of_16384_entries_at_256_px():
    codes = Codes(
        size_px=(256, 256), codes=torch.zeros(2, 256, dtype=torch.int64), codebook_size=16384
    )
    batch = scored(codes, size=(256, 256))
    assert value_of("bits-per-image", batch).value == 3584
    assert value_of("bpp", batch).value == pytest.approx(0.0546875, abs=0)


def test_payloads_count_as_they_are_image_by_image():
    batch = scored(Codes(size_px=(16, 32), payloads=(bytes(10), bytes(30))))
    metric = SPECS["bpp"].make(MetricContext(features=None))
    metric.update(batch)
    assert metric.per_sample() == {"bpp": {"k0": 80 / 512, "k1": 240 / 512}}
    value = metric.compute()
    assert value.value == pytest.approx(160 / 512)
    # two values: Student's t at one degree of freedom, and a standard error of half their gap
    half = math.tan(0.475 * math.pi) * 80 / 512
    assert (value.low, value.high) == pytest.approx((160 / 512 - half, 160 / 512 + half))


def test_pixels_are_those_of_the_suite_not_of_the_model():
    codes = Codes(size_px=(8, 8), payloads=(bytes(64), bytes(64)))
    assert value_of("bpp", scored(codes, size=(64, 64))).value == 64 * 8 / 64**2


def test_without_codes_there_is_no_rate():
    value = value_of("bpp", scored(None))
    assert value.value is None
    assert value.note == "no codes: the images come from a folder or a generator"
    assert all(math.isnan(bits) for bits in rate.bits_per_image(scored(None)))
