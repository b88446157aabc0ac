"""SSIM as LlamaGen's script has it, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pixel_batches import batch_of

from layton_bench.metrics.pairs.published import ssim_range2


def test_one_window_by_hand() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2, 7, 7, 3), dtype=np.uint8)
    channels = []
    for a, b in zip((x / 255).reshape(49, 3).T, (y / 255).reshape(49, 3).T, strict=True):
        # sample covariance, and constants for a data range of 2
        (variance_a, covariance), (_, variance_b) = np.cov(a, b)
        c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
        channels.append(
            (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
            / (a.mean() ** 2 + b.mean() ** 2 + c1) / (variance_a + variance_b + c2)
        )  # fmt: skip
    assert ssim_range2(batch_of([x], [y])) == [pytest.approx(np.mean(channels), rel=1e-12)]
