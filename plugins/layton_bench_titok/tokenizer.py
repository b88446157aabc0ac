"""TiTok behind the harness's protocol: images in [-1, 1], a fixed caption for TA-TiTok."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layton_bench import Codes

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench_titok.model import TiTok

__all__ = ["TiTokTokenizer"]


class TiTokTokenizer:
    """One model behind encode and decode; deterministic, so no seed is used.

    A continuous model gives the mean of its posterior; the official script draws a sample.

    Args:
        model: in eval mode, on its device, in its dtype.
        text: features of the caption for all images, (1, T, text_dim), for TA-TiTok.
    """

    def __init__(self, model: TiTok, text: Tensor | None = None) -> None:
        self.model = model
        self.text = text
        self.dtype = model.latent_tokens.dtype

    def encode(self, images: Tensor) -> Codes:
        """Float images (B, 3, 256, 256) in [-1, 1] → codes (B, N) or latents (B, N, C)."""
        images_01 = (images.to(self.dtype) + 1) / 2
        height, width = images.shape[-2:]
        size_px, codebook_size = (height, width), self.model.config.codebook_size
        if codebook_size is None:
            mean, _ = self.model.posterior(images_01)
            return Codes(latents=mean, size_px=size_px)
        codes = self.model.encode(images_01)
        return Codes(codes=codes, codebook_size=codebook_size, size_px=size_px)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Codes or latents → float32 images (B, 3, 256, 256), clamped to [-1, 1]."""
        del seeds
        if codes.codes is not None:
            images_01 = self.model.decode(codes.codes, self.text)
        else:
            assert codes.latents is not None
            images_01 = self.model.decode_vectors(codes.latents.to(self.dtype), self.text)
        return (2 * images_01.float() - 1).clamp(-1, 1)
