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
