"""Pixel metrics against the libraries they equal, on crops of the embedded photographs.

    python benchmarks/bench_pixel.py [--size 256] [--images 8] [--rounds 5]

Both sides are given the same uint8 images in memory and return one number an image: ours in
float64, torchmetrics in float32 as it is used, scikit-image in the float64 it always takes. They
take turns, A B A B, in one thread; the table gives the least CPU time of each, which other work on
the machine disturbs least, their ratio, and how far the numbers are apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from layton_bench.datasets.layouts.embedded import open_photos
from layton_bench.images import decode_rgb
from layton_bench.metrics.pairs import pixel_scores
from layton_bench.metrics.pairs.pixel_scores import Comparison

Way = Callable[[], "np.ndarray"]


def make_pairs(count: int, size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidates and references, uint8 (B, 3, H, W): JPEG-like blocks and a slight cast."""
    photos = open_photos()
    pictures = [decode_rgb(photos.read(item)) for item in photos.items()]
    references = [
        np.asarray(pictures[i % len(pictures)].resize((size_px, size_px))) for i in range(count)
    ]
    rng = np.random.default_rng(0)
    damaged = [np.clip(a // 8 * 8 + rng.integers(-3, 8, a.shape), 0, 255) for a in references]
    both = (
        np.stack(images).astype(np.uint8).transpose(0, 3, 1, 2) for images in (damaged, references)
    )
    candidates, originals = (torch.from_numpy(np.ascontiguousarray(images)) for images in both)
    return candidates, originals


def theirs(x: torch.Tensor, y: torch.Tensor) -> dict[str, Way]:
    """Metric → the reference library's call."""
    from skimage.color import deltaE_ciede2000, rgb2lab
    from skimage.metrics import peak_signal_noise_ratio
    from torchmetrics.functional import image as tm

    hwc = [
        (a.permute(1, 2, 0).numpy(), b.permute(1, 2, 0).numpy()) for a, b in zip(x, y, strict=True)
    ]

    def by_torchmetrics(function: Callable[..., torch.Tensor]) -> Way:
        def call() -> np.ndarray:
            return function(x / 255, y / 255, data_range=1.0, reduction="none").numpy()

        return call

    return {
        "psnr": lambda: np.array([peak_signal_noise_ratio(b, a) for a, b in hwc]),
        "ssim": by_torchmetrics(tm.structural_similarity_index_measure),
        "ms-ssim": by_torchmetrics(tm.multiscale_structural_similarity_index_measure),
        "delta-e": lambda: np.array(
            [deltaE_ciede2000(rgb2lab(a), rgb2lab(b)).mean() for a, b in hwc]
        ),
    }


def ours(x: torch.Tensor, y: torch.Tensor) -> dict[str, Way]:
    """Metric → our function, with nothing kept from another metric."""
    functions = {
        "psnr": pixel_scores.psnr,
        "ssim": pixel_scores.ssim_full,
        "ms-ssim": pixel_scores.ms_ssim,
        "delta-e": pixel_scores.delta_e,
    }
    return {n: (lambda f=f: f(Comparison(x, y))) for n, f in functions.items()}


def milliseconds(way: Way, images: int) -> float:
    """CPU time an image."""
    start = time.process_time()
    way()
    return (time.process_time() - start) / images * 1e3


def main() -> None:
    """Time and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, y = make_pairs(options.images, options.size)
    reference, mine = theirs(x, y), ours(x, y)
    print("| metric | ours | reference library | ratio | largest difference |")
    print("|---|---:|---:|---:|---:|")
    for name in mine:
        apart = np.abs(mine[name]() - reference[name]()).max()
        times = [
            [milliseconds(way[name], options.images) for way in (mine, reference)]
            for _ in range(options.rounds)
        ]
        a, b = np.min(times, axis=0)
        print(f"| {name} | {a:.2f} ms | {b:.2f} ms | {b / a:.1f} | {apart:.0e} |")


if __name__ == "__main__":
    main()
