"""Images: file → RGB picture → tensor, float → uint8 by a named rule, and PNG.

How a file becomes pixels is decided in ``layton.images``, so that the model and the harness see
the same picture. This is the one place where the harness imports ``layton``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from layton import images as layton_images
from layton.errors import ImageError as LaytonImageError
from layton.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    Archive,
    Found,
    Span,
    find_images,
    is_hidden,
    is_image_name,
)
from layton_bench.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ROUNDING_RULES",
    "Archive",
    "Found",
    "RoundingRule",
    "Span",
    "UInt8Array",
    "decode_rgb",
    "encode_png",
    "find_images",
    "is_hidden",
    "is_image_name",
    "read_file",
    "read_index",
    "read_span",
    "to_pil",
    "to_signed",
    "to_tensor",
    "to_uint8",
]

UInt8Array = NDArray[np.uint8]

RoundingRule = Literal["round", "floor-128", "truncate", "truncate-01"]
ROUNDING_RULES: tuple[RoundingRule, ...] = get_args(RoundingRule)


@contextmanager
def _as_ours() -> Iterator[None]:
    """Turn errors of ``layton`` into those of the harness, without the file's folder."""
    try:
        yield
    except LaytonImageError as error:
        raise ImageError(error.reason) from None


def decode_rgb(data: bytes) -> Image.Image:
    """Decode an image file to RGB, upright, over white where it is transparent.

    The rule is ``layton.images.decode_rgb``: the model reads the same pixels as the harness.

    Raises:
        ImageError: the file is empty, truncated, not an image, too large, or of a kind that has
            no defined conversion; the message says which.
    """
    with _as_ours():
        return layton_images.decode_rgb(data)


def read_file(path: Path) -> bytes:
    """Return the bytes of one image file; raises ImageError if it cannot be read.

    Only regular files of bounded size are read: a pipe or a device may never end.
    """
    try:
        return layton_images.read_file(path)
    except LaytonImageError as error:
        raise ImageError(f"{error.reason}: {path.name}") from None


def read_index(path: Path) -> Archive:
    """Return where the members of a tar archive are; raises ImageError if it cannot be read."""
    with _as_ours():
        return layton_images.read_index(path)


def read_span(path: Path, span: Span) -> bytes:
    """Return a member's bytes; raises ImageError if the archive does not hold them all."""
    with _as_ours():
        return layton_images.read_span(path, span)


def encode_png(image: UInt8Array | Tensor | Image.Image) -> bytes:
    """Encode one image as PNG: a picture, uint8 (H, W, 3), or a uint8 tensor (3, H, W)."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG")
    return buffer.getvalue()


def to_pil(image: UInt8Array | Tensor | Image.Image) -> Image.Image:
    """Convert uint8 (H, W, 3) or a uint8 tensor (3, H, W) to a picture; return a picture as is."""
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray):
        image = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected uint8 RGB, got {image.dtype} {image.shape}")
    return Image.fromarray(np.ascontiguousarray(image))


def to_tensor(image: Image.Image | UInt8Array) -> Tensor:
    """Convert an RGB picture or uint8 (H, W, 3) to a uint8 tensor (3, H, W), 0..255."""
    import torch

    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected uint8 RGB, got {pixels.dtype} {pixels.shape}")
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def to_signed(images: Tensor) -> Tensor:
    """Convert uint8 images, 0..255, to float32 in [-1, 1]: x / 127.5 − 1."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor, rounding: RoundingRule) -> Tensor:
    """Convert float images in [-1, 1] to uint8, 0..255, by a named rule; others are clamped.

    ``round``        (x + 1) · 127.5 to the nearest integer, halves to the even one: 1d-tokenizer
    ``floor-128``    127.5 · x + 128 truncated: the sampling scripts of LlamaGen and EDM2
    ``truncate``     (x + 1) · 127.5 truncated: ADM-style scripts, taming-transformers
    ``truncate-01``  clamp((x + 1) / 2) · 255 truncated: LaCTok, the demo of 1d-tokenizer

    Compared with ``round``, truncation darkens by half a grey level on average. NaN has no defined
    result: check for it before.
    """
    return _RULES[rounding](images.float())


def _round(x: Tensor) -> Tensor:
    return _clamped((x + 1.0).mul_(127.5).round_())


def _floor_128(x: Tensor) -> Tensor:
    return _clamped((x * 127.5).add_(128.0))


def _truncate(x: Tensor) -> Tensor:
    return _clamped((x + 1.0).mul_(127.5))


def _truncate_01(x: Tensor) -> Tensor:
    return _clamped((x.clamp(-1.0, 1.0) * 0.5).add_(0.5).clamp_(0.0, 1.0).mul_(255.0))


def _clamped(levels: Tensor) -> Tensor:
    import torch

    return levels.clamp_(0.0, 255.0).to(torch.uint8)


_RULES: dict[RoundingRule, Callable[[Tensor], Tensor]] = {
    "round": _round,
    "floor-128": _floor_128,
    "truncate": _truncate,
    "truncate-01": _truncate_01,
}
