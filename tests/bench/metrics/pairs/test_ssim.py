"""SSIM and MS-SSIM: sizes, windows, and both filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pixel_batches import batch_of, score
from pixel_cases import photo

from layton_bench.metrics.pairs import ssim


@pytest.mark.parametrize(
    ("name", "side", "reason"),
    [
        ("ms-ssim", 175, "MS-SSIM needs sides of 176 px or more"),
        ("ssim", 10, "SSIM needs sides of 11 px or more"),
        ("ssim-skimage", 10, "SSIM needs sides of 11 px or more"),
    ],
)
def test_images_smaller_than_the_window_have_no_value_but_a_reason(name, side, reason):
    def noise(seed: int, side: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)

    value = score(name, batch_of([noise(0, side)], [noise(1, side)]))
    assert value.value is None
    assert value.note == reason
    value = score(name, batch_of([noise(0, side + 1)], [noise(1, side + 1)]))
    assert value.value == pytest.approx(0, abs=0.2)
    assert value.note == ""


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (37, 23), (176, 189), (207, 177)])
def test_odd_and_narrow_sizes_equal_torchmetrics(shape):
    from torchmetrics.functional import image as tm

    rng = np.random.default_rng(3)
    x, y = (rng.integers(0, 256, (2, 3, *shape), dtype=np.uint8) for _ in range(2))
    y[1] = x[1] // 2 + 40
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    got = ssim.similarity(x, y)
    x_01, y_01 = x.double() / 255, y.double() / 255
    expected = tm.structural_similarity_index_measure(x_01, y_01, data_range=1.0, reduction="none")
    torch.testing.assert_close(got.full, expected, rtol=0, atol=1e-11)
    if min(shape) >= 176:
        expected = tm.multiscale_structural_similarity_index_measure(
            x_01, y_01, data_range=1.0, reduction="none"
        )
        torch.testing.assert_close(ssim.multi_scale(x, y, got), expected, rtol=0, atol=1e-7)


def test_ms_ssim_counts_negative_contrast_as_zero():
    # a picture against its negative: the structure term is negative, a root of it undefined
    reference = photo("coffee")
    assert score("ms-ssim", batch_of([255 - reference], [reference])).value == 0.0


def test_both_filters_take_the_same_windows():
    planes = torch.rand(2, 20, 31, generator=torch.Generator().manual_seed(0)).double() * 255
    by_opencv, by_torch = ssim._windowed_by_opencv(planes), ssim._windowed_by_torch(planes)
    torch.testing.assert_close(by_torch, by_opencv, rtol=1e-13, atol=0)


@pytest.mark.parametrize("shape", [(97, 53), (53, 97), (300, 12), (11, 400), (45, 44)])
@pytest.mark.parametrize("path", ["opencv", "torch", "gpu"])
def test_strips_give_the_values_of_the_whole(monkeypatch, shape, path):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 256, (2, 2, 3, *shape), dtype=torch.uint8, generator=generator)
    whole = ssim.similarity(x, y)
    monkeypatch.setattr(ssim, "_STRIP_PIXELS", 500)
    if path == "torch":
        monkeypatch.setattr(ssim, "opencv", lambda: None)
    if path == "gpu":  # all planes at once
        monkeypatch.setattr(torch.Tensor, "is_cpu", False)
    strips = ssim.similarity(x, y)
    for name in ("full", "cropped", "contrast"):
        torch.testing.assert_close(getattr(strips, name), getattr(whole, name), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(176, 200), (177, 391)])
def test_ms_ssim_by_strips_is_that_of_the_whole(monkeypatch, shape):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 256, (2, 1, 3, *shape), dtype=torch.uint8, generator=generator)
    whole = ssim.multi_scale(x, y, ssim.similarity(x, y))
    monkeypatch.setattr(ssim, "_STRIP_PIXELS", 500)
    strips = ssim.multi_scale(x, y, ssim.similarity(x, y))
    torch.testing.assert_close(strips, whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("height", [1, 2, 11, 44, 55, 56, 99, 100, 1000])
def test_strips_cover_every_row_once_and_hold_a_window(monkeypatch, height):
    monkeypatch.setattr(ssim, "_STRIP_PIXELS", 100)
    strips = ssim._strips(height, 10)
    assert [row for start, stop in strips for row in range(start, stop)] == list(range(height))
    assert all(start % 2 == 0 for start, _ in strips)
    assert len(strips) == 1 or all(stop - start >= ssim.WINDOW for start, stop in strips)
