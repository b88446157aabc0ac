"""The parts of a Layton tokenizer, put together: encoder, codebook, decoder, VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from diffusers import AutoencoderKL
from torch import nn

from layton.tokenizer.ladd import LADD
from layton.tokenizer.quantizer import Quantizer
from layton.tokenizer.vq_model import build_encoder

if TYPE_CHECKING:
    from layton.tokenizer.config import TokenizerConfig

__all__ = ["Network"]

_LARGE_PX = 1024  # from this side on, the VAE decodes one image at a time


class Network(nn.Module):
    """All layers of a tokenizer under their names in files; weights are random until loaded.

    Attributes:
        config: every size.
        encoder, quant_conv, quantize: images → codes; always float32, so that codes are exact.
        decoder: the latent diffusion decoder.
        vae: the KL autoencoder of the latent space.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        vq = config.encoder
        self.encoder = build_encoder(vq)
        self.quantize = Quantizer(vq.codebook_size, vq.codebook_dim, l2_normalize=vq.l2_normalize)
        self.quant_conv = nn.Conv2d(vq.z_channels, vq.codebook_dim, 1)
        self.decoder = LADD(
            config.unet, condition_dim=vq.codebook_dim, condition_channels=config.condition_channels
        )
        # sample_size is also the tile in which larger images are decoded
        build_vae = cast(Any, AutoencoderKL)
        self.vae = build_vae(**config.vae.to_diffusers(), sample_size=config.image_px)
        self.vae.enable_tiling()
        self.vae.use_slicing = config.image_px >= _LARGE_PX
