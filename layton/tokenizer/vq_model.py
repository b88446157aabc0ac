"""A whole VQ tokenizer: encoder, codebook, and a decoder straight to pixels.

Module names are those of the published LlamaGen checkpoints. Their state dicts load without a key
map.

Axes: B batch, H W pixels, h w the token grid. Images are RGB in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from layton.tokenizer.config import ViTConfig, VQConfig
from layton.tokenizer.quantizer import USAGE_WINDOW, Quantized, Quantizer
from layton.tokenizer.vit import ViTDecoder, ViTEncoder
from layton.tokenizer.vq import VQDecoder, VQEncoder

__all__ = ["VQModel", "build_encoder"]


def build_encoder(config: VQConfig | ViTConfig) -> VQEncoder | ViTEncoder:
    """Return the encoder that the configuration describes, with fresh weights."""
    return ViTEncoder(config) if isinstance(config, ViTConfig) else VQEncoder(config)


class VQModel(nn.Module):
    """Encoder, codebook and decoder: a whole tokenizer without a diffusion decoder.

    Args:
        config: every size; it also chooses between convolutions and a transformer.
        window: how many recent codes the codebook remembers in training; see `Quantizer`.
    """

    def __init__(self, config: VQConfig | ViTConfig, *, window: int = USAGE_WINDOW) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config)
        self.decoder: VQDecoder | ViTDecoder = (
            ViTDecoder(config) if isinstance(config, ViTConfig) else VQDecoder(config)
        )
        self.quantize = Quantizer(
            config.codebook_size,
            config.codebook_dim,
            l2_normalize=config.l2_normalize,
            window=window,
        )
        self.quant_conv = nn.Conv2d(config.z_channels, config.codebook_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.codebook_dim, config.z_channels, 1)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → z (B, codebook_dim, h, w), before quantisation."""
        z: Tensor = self.quant_conv(self.encoder(images))
        return z

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → codes (B, h, w) int64.

        Raises:
            ImageError: wrong shape, or sides that are not multiples of the downsample factor.
        """
        return self.quantize.encode(self.features(images))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, h, w) → images (B, 3, H, W), not clamped.

        Raises:
            CodesError: a code is out of range, or codes are not integers.
        """
        return self.decode_quantized(self.quantize.lookup(codes))

    def decode_quantized(self, quantized: Tensor) -> Tensor:
        """Code vectors (B, codebook_dim, h, w) → images (B, 3, H, W), not clamped."""
        dtype = self.post_quant_conv.weight.dtype
        images: Tensor = self.decoder(self.post_quant_conv(quantized.to(dtype)))
        return images

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """One training pass: images → (reconstruction, what the codebook losses need)."""
        result = self.quantize(self.features(images))
        return self.decode_quantized(result.quantized), result
