"""Tokenizers whose codes are on a grid; for plugins around VQ models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from layton_bench.types import Codes

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class GridModel(Protocol):
    """Images (B, 3, H, W) in [-1, 1] to codes (B, h, w) int64 and back."""

    def encode(self, images: Tensor) -> Tensor:
        """Images to codes."""

    def decode(self, codes: Tensor) -> Tensor:
        """Codes to images."""


class GridTokenizer:
    """Flattens the grid to one row of codes, row by row, and restores it for the decoder.

    Args:
        model: the model, in eval mode, on its device.
        codebook_size: number of codes.
        downsample_factor: image side divided by grid side.
        dtype: dtype of the images that the model takes.
    """

    def __init__(
        self, model: GridModel, *, codebook_size: int, downsample_factor: int, dtype: torch.dtype
    ) -> None:
        self.model = model
        self.codebook_size = codebook_size
        self.downsample_factor = downsample_factor
        self.dtype = dtype

    def encode(self, images: Tensor) -> Codes:
        """Encode float images (B, 3, H, W) in [-1, 1] to codes (B, h·w)."""
        codes = self.model.encode(images.to(self.dtype))
        height, width = images.shape[-2:]
        return Codes(
            codes=codes.flatten(1), codebook_size=self.codebook_size, size_px=(height, width)
        )

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Decode codes (B, h·w) to float32 images (B, 3, H, W) in [-1, 1]; seeds are not used."""
        del seeds
        assert codes.codes is not None
        rows, columns = (side // self.downsample_factor for side in codes.size_px)
        images = self.model.decode(codes.codes.view(-1, rows, columns))
        return images.float().clamp(-1, 1)
