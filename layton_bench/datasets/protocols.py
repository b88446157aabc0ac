"""Preprocessing protocols: named, versioned, pure functions from a picture to uint8 (H, W, 3).

A protocol's version is raised whenever one pixel would change. Every protocol except ``native``
returns a square of ``size_px``. A smaller picture is enlarged by the protocol's own filter, and
``is_upscaled`` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from layton_bench.datasets.opencv_bilinear import resize_opencv_bilinear
from layton_bench.errors import ImageError
from layton_bench.images import MAX_PIXELS, UInt8Array

BICUBIC = Image.Resampling.BICUBIC
BOX = Image.Resampling.BOX


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A named way from a picture to the pixels that a model sees.

    Attributes:
        name: ``<origin>-<operation>``.
        version: raised whenever a pixel would change.
        summary: one line for lists.
        apply: RGB picture and size in pixels → uint8 (H, W, 3).
        used_by: published evaluations that use it.
        is_square: whether every result is a square of ``size_px``.
    """

    name: str
    version: int
    summary: str
    apply: Callable[[Image.Image, int], UInt8Array]
    used_by: tuple[str, ...] = ()
    is_square: bool = True

    @property
    def id(self) -> str:
        """Name and version, as in suites and signatures (``canonical@1``)."""
        return f"{self.name}@{self.version}"

    def is_upscaled(self, size: tuple[int, int], size_px: int) -> bool:
        """Return whether a picture of this (width, height) is smaller than ``size_px``."""
        return self.is_square and min(size) < size_px


def canonical(image: Image.Image, size_px: int) -> UInt8Array:
    """Shorter side to ``size_px`` with Pillow's antialiased bicubic filter, then centre crop.

    The longer side is truncated to whole pixels and the crop's offset rounded half to even, as
    torchvision's Resize and CenterCrop do on pictures.
    """
    width, height = image.size
    short = min(width, height)
    resized = _resized(image, size_px * width // short, size_px * height // short)
    left, top = (round((side - size_px) / 2) for side in resized.size)
    return _crop(resized, left, top, size_px)


def adm_center_crop(image: Image.Image, size_px: int) -> UInt8Array:
    """The crop of ADM: halve with a box filter while possible, bicubic for the rest, centre crop.

    Source: Dhariwal & Nichol 2021 (guided-diffusion), also in DiT and LlamaGen.
    """
    while min(image.size) >= 2 * size_px:
        image = image.resize((image.width // 2, image.height // 2), BOX)
    scale = size_px / min(image.size)
    image = _resized(image, round(image.width * scale), round(image.height * scale))
    left, top = ((side - size_px) // 2 for side in image.size)
    return _crop(image, left, top, size_px)


def taming_center_crop(image: Image.Image, size_px: int) -> UInt8Array:
    """Shorter side by OpenCV's bilinear filter, which is not antialiased, then centre crop.

    Source: taming-transformers, whose data loader resizes by albumentations' SmallestMaxSize.
    """
    scale = size_px / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    _refuse_ribbon(image, width, height)
    left, top = (width - size_px) // 2, (height - size_px) // 2
    pixels = resize_opencv_bilinear(np.asarray(image), width, height)
    return pixels[top : top + size_px, left : left + size_px]


def square_resize(image: Image.Image, size_px: int) -> UInt8Array:
    """Bicubic, antialiased, to a square; the aspect ratio is not kept."""
    return np.asarray(image.resize((size_px, size_px), BICUBIC))


def native(image: Image.Image, size_px: int) -> UInt8Array:  # noqa: ARG001, a protocol's signature
    """The picture at its own size."""
    return np.asarray(image)


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    _refuse_ribbon(image, width, height)
    return image.resize((width, height), BICUBIC)


def _refuse_ribbon(image: Image.Image, width: int, height: int) -> None:
    # a picture of 1 × 5,000 pixels would need 3 · 10^8 of them before the crop
    if width * height > MAX_PIXELS:
        size = f"{image.width} × {image.height}"
        raise ImageError(f"too elongated to be cropped to a square: {size} pixels")


def _crop(image: Image.Image, left: int, top: int, size_px: int) -> UInt8Array:
    return np.asarray(image.crop((left, top, left + size_px, top + size_px)))


PROTOCOLS = (
    Protocol(
        name="canonical",
        version=1,
        summary="shorter side to the size, bicubic and antialiased (Pillow), centre crop",
        apply=canonical,
        used_by=("TiTok", "TA-TiTok", "Show-o"),
    ),
    Protocol(
        name="adm-center-crop",
        version=1,
        summary="halved by a box filter while twice too large, then bicubic, centre crop",
        apply=adm_center_crop,
        used_by=("ADM", "DiT", "LlamaGen"),
    ),
    Protocol(
        name="taming-center-crop",
        version=1,
        summary="shorter side to the size, bilinear and not antialiased (OpenCV), centre crop",
        apply=taming_center_crop,
        used_by=("VQGAN (taming-transformers)",),
    ),
    Protocol(
        name="square-resize",
        version=1,
        summary="bicubic and antialiased (Pillow) to a square; aspect ratio not kept",
        apply=square_resize,
    ),
    Protocol(
        name="native",
        version=1,
        summary="no change; batches hold images of equal size",
        apply=native,
        is_square=False,
    ),
)
"""The built-in protocols."""
