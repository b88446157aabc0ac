"""A continuous autoencoder behind the harness's protocol.

It is the upper bound of every model that decodes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from layton_bench import Codes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["AutoencoderTokenizer"]


class AutoencoderTokenizer:
    """Raw latents (not scaled for a diffusion model); for AutoencoderKL, the posterior's mode.

    Args:
        model: AutoencoderKL or AutoencoderTiny, in eval mode, on its device.
        dtype: of the model.
    """

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        self.model = model
        self.dtype = dtype

    def encode(self, images: Tensor) -> Codes:
        """Float images (B, 3, H, W) in [-1, 1], sides multiples of 8 → latents (B, C, H/8, W/8)."""
        encoded = self.model.encode(images.to(self.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        height, width = images.shape[-2:]
        return Codes(latents=latents, size_px=(height, width))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Latents → float32 images (B, 3, H, W), clamped to [-1, 1]; no seed is used."""
        del seeds
        assert codes.latents is not None
        images: Tensor = self.model.decode(codes.latents.to(self.dtype)).sample
        return images.float().clamp(-1, 1)
