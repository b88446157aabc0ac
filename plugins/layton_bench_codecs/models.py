"""The codecs as tokenizers: encode returns each image's file, decode reads it.

Axes: B batch, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from layton_bench import Codes, to_signed, to_uint8
from layton_bench_codecs.budget import restore

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from layton_bench_codecs.formats import Format

S = TypeVar("S")
T = TypeVar("T")


class Identity:
    """Keep the 8-bit pixels: 24 bits per pixel, without loss."""

    def encode(self, images: Tensor) -> Codes:
        """Raw RGB bytes of float32 images in [-1, 1], (B, 3, H, W)."""
        height, width = images.shape[-2:]
        pixels = to_uint8(images, "round").cpu().numpy()
        return Codes(size_px=(height, width), payloads=tuple(image.tobytes() for image in pixels))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:  # noqa: ARG002 - contract
        """The pixels as float32 in [-1, 1], (B, 3, H, W)."""
        import torch

        assert codes.payloads is not None
        raw = torch.frombuffer(bytearray().join(codes.payloads), dtype=torch.uint8)
        return to_signed(raw.view(-1, 3, *codes.size_px))


class Codec:
    """An image format.

    Args:
        form: the format.
        encode_picture: RGB picture → file.
    """

    def __init__(self, form: Format, encode_picture: Callable[[Image.Image], bytes]) -> None:
        self._form = form
        self._encode_picture = encode_picture

    def encode(self, images: Tensor) -> Codes:
        """The file of each of float32 images in [-1, 1], (B, 3, H, W)."""
        from PIL import Image

        height, width = images.shape[-2:]
        pixels = to_uint8(images, "round").permute(0, 2, 3, 1).contiguous().cpu().numpy()
        payloads = _side_by_side(self._encode_picture, map(Image.fromarray, pixels))
        return Codes(size_px=(height, width), payloads=tuple(payloads))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:  # noqa: ARG002 - contract
        """The pictures at their original size as float32 in [-1, 1], (B, 3, H, W)."""
        import numpy as np
        import torch

        assert codes.payloads is not None

        def pixels_of(payload: bytes) -> Tensor:
            return torch.from_numpy(np.array(restore(payload, self._form, codes.size_px)))

        pixels = torch.stack(_side_by_side(pixels_of, codes.payloads))
        return to_signed(pixels.permute(0, 3, 1, 2).contiguous())


def _side_by_side(function: Callable[[S], T], values: Iterable[S]) -> list[T]:
    """Results in order; Pillow's codecs release the interpreter lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, values))
