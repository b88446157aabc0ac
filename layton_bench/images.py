"""Bytes → RGB and back: the only place where an image file is decoded or encoded.

Colour profiles are not applied, as in the published evaluation scripts; EXIF rotation is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from layton_bench.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

UInt8Array = NDArray[np.uint8]

RoundingRule = Literal["round", "floor-128", "truncate", "truncate-01"]
ROUNDING_RULES: tuple[RoundingRule, ...] = get_args(RoundingRule)

ALPHA_BACKGROUND = (255, 255, 255)
"""What lies behind transparent pixels."""

MAX_PIXELS = 89_478_485
"""Images with more pixels are refused as decompression bombs (Pillow's own warning limit)."""


def decode_rgb(data: bytes) -> Image.Image:
    """Decode an image file to an RGB picture, upright, over white where it is transparent.

    Grey, palette, CMYK, YCbCr and 16-bit files are converted; the first frame of an animation is
    taken; a 16-bit grey value v becomes round(v / 257).

    Raises:
        ImageError: the file is empty, truncated, not an image, too large, or of a kind that has
            no defined conversion; the message says which.
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)")
    try:
        with _truncation_is_an_error(), Image.open(io.BytesIO(data)) as image:
            _refuse_bomb(image)
            image.load()
            _turn_upright(image)
            return _to_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError:
        start = data[:8].hex(" ")
        raise ImageError(f"not an image in any known format (it starts with {start})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"too large: more than {MAX_PIXELS:,} pixels") from None
    except MemoryError:
        raise ImageError("too large: there is not enough memory to decode it") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError ...
        raise ImageError(f"cannot be decoded: {_one_line(error)}") from error


@contextmanager
def _truncation_is_an_error() -> Iterator[None]:
    # Some libraries switch this on for the whole process; half a picture must not be scored.
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = True


def _refuse_bomb(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} × {image.height}"
        raise ImageError(f"too large: {size} is more than {MAX_PIXELS:,} pixels")


def _turn_upright(image: Image.Image) -> None:
    # a damaged EXIF block says nothing about the picture itself
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range; save it as 8 or 16 bit")
    if image.has_transparency_data:
        return _over_background(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(f"integer pixels of {low}..{high} are outside 16 bits")
    # 65535 / 255 = 257 exactly, so adding half of it before the division rounds to nearest
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _over_background(image: Image.Image) -> Image.Image:
    background = Image.new("RGBA", image.size, (*ALPHA_BACKGROUND, 255))
    return Image.alpha_composite(background, image).convert("RGB")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def encode_png(image: UInt8Array | Tensor | Image.Image) -> bytes:
    """Encode one image as PNG: a picture, uint8 (H, W, 3), or a uint8 tensor (3, H, W)."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG")
    return buffer.getvalue()


def to_pil(image: UInt8Array | Tensor | Image.Image) -> Image.Image:
    """Convert uint8 (H, W, 3) or a uint8 tensor (3, H, W) to a picture; a picture stays itself."""
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

    Against ``round``, truncation darkens by half a grey level on average. NaN has no defined
    result: whoever calls this has looked for it before.
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
