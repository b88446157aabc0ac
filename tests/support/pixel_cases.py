"""Photographs and distortions of them, rebuilt here and scored once by the reference libraries.

``python tests/support/pixel_cases.py`` writes golden/pixel.json anew; it needs torchmetrics and
scikit-image, at whose versions the file names the values were made.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from places import GOLDEN
from scipy.ndimage import gaussian_filter

PIXEL = GOLDEN / "pixel.json"
HEIGHT, WIDTH = 192, 208
PHOTOS = {
    "astronaut": (0, 130),
    "chelsea": (60, 100),
    "coffee": (80, 180),
    "immunohistochemistry": (150, 200),
    "stereo_motorcycle": (200, 300),
}
Image = NDArray[np.uint8]


def _noise(a: NDArray[np.float64]) -> NDArray[np.float64]:
    return a + np.random.RandomState(7).normal(0, 25, a.shape)


def _shifted(a: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.roll(a, (1, 2), axis=(0, 1))


DISTORTIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "blur2": lambda a: gaussian_filter(a, sigma=(2, 2, 0), mode="reflect"),
    "noise25": _noise,
    "bright40": lambda a: a + 40,
    "cast": lambda a: a + np.array([30, 0, -30]),
    "posterised": lambda a: a // 32 * 32 + 16,
    "shifted": _shifted,
    "negative": lambda a: 255 - a,
    "self": lambda a: a,
}


def photo(name: str) -> Image:
    """A crop of a photograph inside scikit-image's package, uint8 (192, 208, 3)."""
    import skimage.data

    whole = getattr(skimage.data, name)()
    whole = whole[0] if isinstance(whole, tuple) else whole
    top, left = PHOTOS[name]
    return np.ascontiguousarray(whole[top : top + HEIGHT, left : left + WIDTH])


def distorted(name: str, distortion: str) -> Image:
    """The same crop after a distortion, rounded half to even and clipped."""
    levels = DISTORTIONS[distortion](photo(name).astype(np.float64))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _reference_scores(candidate: Image, reference: Image) -> dict[str, float | str]:
    import torch
    from skimage.color import deltaE_ciede2000, rgb2lab
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity
    from torchmetrics.functional import image as tm

    x, y = (
        torch.from_numpy(a).permute(2, 0, 1)[None].double() / 255 for a in (candidate, reference)
    )
    lab_x, lab_y = rgb2lab(candidate), rgb2lab(reference)
    shift = (lab_x - lab_y).mean(axis=(0, 1))
    with np.errstate(divide="ignore"):
        psnr = float(peak_signal_noise_ratio(reference, candidate, data_range=255))
    return {
        "psnr": psnr if np.isfinite(psnr) else "inf",
        "ssim": float(tm.structural_similarity_index_measure(x, y, data_range=1.0)),
        "ssim-skimage": float(
            structural_similarity(
                reference,
                candidate,
                data_range=255,
                channel_axis=2,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
        "ms-ssim": float(tm.multiscale_structural_similarity_index_measure(x, y, data_range=1.0)),
        "delta-e": float(deltaE_ciede2000(lab_x, lab_y).mean()),
        "colour-bias-a": float(shift[1]),
        "colour-bias-b": float(shift[2]),
    }


def _pooled_psnr(distortion: str) -> float:
    import torch
    from torchmetrics.image import PeakSignalNoiseRatio

    metric = PeakSignalNoiseRatio(data_range=255.0).set_dtype(torch.float64)
    for name in PHOTOS:
        pair = (torch.from_numpy(a).double() for a in (distorted(name, distortion), photo(name)))
        metric.update(*pair)
    return float(metric.compute())


def main() -> None:
    """Score every case and write the file."""
    import skimage
    import torchmetrics

    scores = {
        name: {d: _reference_scores(distorted(name, d), photo(name)) for d in DISTORTIONS}
        for name in PHOTOS
    }
    document = {
        "origin": f"torchmetrics {torchmetrics.__version__} in float64 (ssim, ms-ssim,"
        f" psnr-pooled), scikit-image {skimage.__version__} (all others)",
        "command": "python tests/support/pixel_cases.py",
        "pairs": scores,
        "psnr-pooled": {d: _pooled_psnr(d) for d in DISTORTIONS if d != "self"},
    }
    PIXEL.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
