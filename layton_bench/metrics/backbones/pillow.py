"""Pillow's antialiased bicubic resize of batches, rounded to uint8 like its images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


def squash(images: Tensor, side_px: int) -> Tensor:
    """Resize both sides to ``side_px``, uint8 (B, 3, side, side). Proportions are lost."""
    return _each(images, lambda image: _resize(image, (side_px, side_px)))


def crop_then_resize(images: Tensor, side_px: int) -> Tensor:
    """Resize the largest central square to ``side_px``, uint8 (B, 3, side, side)."""

    def convert(image: Image.Image) -> Image.Image:
        return _resize(_central_square(image, min(image.size)), (side_px, side_px))

    return _each(images, convert)


def resize_then_crop(images: Tensor, side_px: int) -> Tensor:
    """Resize the shorter side to ``side_px``, then cut the central square, like CLIP."""

    def convert(image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        size = tuple(int(side_px * side / shorter) for side in image.size)
        return _central_square(_resize(image, size), side_px)

    return _each(images, convert)


def _resize(image: Image.Image, size: tuple[int, ...]) -> Image.Image:
    width, height = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _central_square(image: Image.Image, side_px: int) -> Image.Image:
    width, height = image.size
    left, top = round((width - side_px) / 2), round((height - side_px) / 2)
    return image.crop((left, top, left + side_px, top + side_px))


def _each(images: Tensor, convert: Callable[[Image.Image], Image.Image]) -> Tensor:
    import numpy as np
    import torch

    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    converted = [np.array(convert(Image.fromarray(image))) for image in pixels]
    return torch.from_numpy(np.stack(converted)).permute(0, 3, 1, 2).contiguous()
