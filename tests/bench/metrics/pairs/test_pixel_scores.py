"""One number an image: by hand, on other devices, and computed once a batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pixel_batches import SPECS, batch_of, flat, score
from pixel_cases import distorted, photo

from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs import pixel_scores, ssim


def test_psnr_by_hand():
    # a difference of 5 everywhere: MSE 25, PSNR 20 log10(255 / 5)
    value = score("psnr", batch_of(flat((10, 10, 10)), flat((15, 15, 15))))
    assert value.value == pytest.approx(20 * math.log10(51), abs=1e-12)
    # in one of three channels only: MSE 25 / 3
    value = score("psnr", batch_of(flat((10, 10, 10)), flat((10, 15, 10))))
    assert value.value == pytest.approx(20 * math.log10(51) + 10 * math.log10(3), abs=1e-12)


def test_black_against_white_is_zero_db_and_does_not_overflow():
    # 3 · 1024² · 255² is more than 2³⁷
    black, white = flat((0, 0, 0), side=1024), flat((255, 255, 255), side=1024)
    assert score("psnr", batch_of(black, white)).value == 0.0
    assert score("brightness-bias", batch_of(white, black)).value == pytest.approx(255)


def test_brightness_bias_is_signed_and_weighs_channels_as_luma():
    grey = flat((100, 100, 100))
    assert score("brightness-bias", batch_of(flat((93, 93, 93)), grey)).value == pytest.approx(-7)
    assert score("brightness-bias", batch_of(flat((100, 110, 100)), grey)).value == pytest.approx(
        7.152
    )


def test_on_a_gpu_all_planes_go_at_once_to_the_same_numbers(monkeypatch):
    """The path of other devices, taken on the CPU: torch's filter, batches of planes, no chunks."""
    pairs = [(distorted("coffee", d), photo("coffee")) for d in ("blur2", "cast")]
    batch = batch_of([c for c, _ in pairs], [r for _, r in pairs])
    names = ("ssim", "ms-ssim", "delta-e", "psnr", "brightness-bias", "colour-bias")
    on_cpu = {name: score(name, batch) for name in names}
    batch.memo.clear()
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)
    monkeypatch.setattr(ssim, "_windowed_by_opencv", None)
    monkeypatch.setattr(pixel_scores, "_squared_by_opencv", None)
    for name in names:
        assert score(name, batch).value == pytest.approx(on_cpu[name].value, rel=1e-12)


@pytest.mark.parametrize("values", [1, 700, 3 * 16 * 16])
def test_squared_errors_are_the_same_whole_numbers_by_blocks(monkeypatch, values):
    monkeypatch.setattr(pixel_scores, "_BLOCK_VALUES", values)
    x, y = np.random.default_rng(0).integers(0, 256, (2, 3, 3 * 16 * 16), dtype=np.uint8)
    x[0], y[0] = 0, 255
    expected = ((x.astype(np.int64) - y) ** 2).sum(1)
    assert expected[0] == 255**2 * 768
    for squared in (pixel_scores._squared_by_opencv, pixel_scores._squared_by_torch):
        assert squared(torch.from_numpy(x), torch.from_numpy(y)).tolist() == expected.tolist()


def test_where_float64_is_missing_the_cpu_computes():
    batch = batch_of([distorted("coffee", "cast")], [photo("coffee")])
    metric = SPECS["ssim"].make(MetricContext(features=None, device="mps"))
    metric.update(batch)
    assert metric.compute() == score("ssim", batch)


def test_shared_work_is_done_once_a_batch(monkeypatch):
    calls = []
    similarity = ssim.similarity
    monkeypatch.setattr(ssim, "similarity", lambda x, y: calls.append(1) or similarity(x, y))
    batch = batch_of([photo("coffee")], [distorted("coffee", "cast")])
    metrics = [SPECS[n].make(MetricContext(features=None)) for n in ("ssim", "ssim-skimage")]
    for metric in metrics:
        metric.update(batch)
    assert len(calls) == 1
