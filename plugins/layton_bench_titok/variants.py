"""The published TiTok and TA-TiTok models as data: sizes of every part, no torch.

Sizes are those of the configuration files of bytedance/1d-tokenizer (configs/infer).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["VARIANTS", "PixelConfig", "TiTokConfig", "ViTConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """Width, depth and heads of a transformer."""

    width: int
    layers: int
    heads: int


SMALL = ViTConfig(width=512, layers=8, heads=8)
BASE = ViTConfig(width=768, layers=12, heads=12)
LARGE = ViTConfig(width=1024, layers=24, heads=16)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelConfig:
    """The MaskGIT-VQGAN decoder and codebook that the first models decode through."""

    channels: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    z_channels: int = 256
    codebook_size: int = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class TiTokConfig:
    """One model.

    Attributes:
        encoder, decoder: the two transformers.
        num_tokens: image tokens.
        codebook_dim: width of a code vector, or of a continuous token.
        codebook_size: number of codes; None for the continuous (VAE) models.
        l2_normalize: compare and look up code vectors at unit norm.
        pixel: the second-stage decoder of the first three models ("legacy" in the official code);
            None if the transformer predicts pixels.
        text_length: text positions that the decoder reads (TA-TiTok); 0 without text.
        text_dim: width of a text feature.
        size_px: image side; the positional embeddings allow no other.
        encoder_patch_px, decoder_patch_px: side of a patch (of a code of the second stage).
    """

    encoder: ViTConfig
    decoder: ViTConfig
    num_tokens: int
    codebook_dim: int
    codebook_size: int | None = None
    l2_normalize: bool = False
    pixel: PixelConfig | None = None
    text_length: int = 0
    text_dim: int = 768
    size_px: int = 256
    encoder_patch_px: int = 16
    decoder_patch_px: int = 16

    @property
    def is_continuous(self) -> bool:
        """Latents instead of codes."""
        return self.codebook_size is None


def _two_stage(vit: ViTConfig, num_tokens: int) -> TiTokConfig:
    return TiTokConfig(
        encoder=vit,
        decoder=vit,
        num_tokens=num_tokens,
        codebook_dim=12,
        codebook_size=4096,
        l2_normalize=True,
        pixel=PixelConfig(),
    )


def _vq(encoder: ViTConfig, num_tokens: int, *, text_length: int = 0) -> TiTokConfig:
    return TiTokConfig(
        encoder=encoder,
        decoder=LARGE,
        num_tokens=num_tokens,
        codebook_dim=64,
        codebook_size=8192,
        text_length=text_length,
    )


def _vae(encoder: ViTConfig, num_tokens: int, *, text_length: int = 0) -> TiTokConfig:
    return TiTokConfig(
        encoder=encoder,
        decoder=LARGE,
        num_tokens=num_tokens,
        codebook_dim=16,
        text_length=text_length,
    )


_CLIP_LENGTH = 77

VARIANTS = MappingProxyType(
    {
        "titok-l-32": _two_stage(LARGE, 32),
        "titok-b-64": _two_stage(BASE, 64),
        "titok-s-128": _two_stage(SMALL, 128),
        "titok-bl-64": _vq(BASE, 64),
        "titok-bl-128": _vq(BASE, 128),
        "titok-sl-256": _vq(SMALL, 256),
        "titok-vae-ll-32": _vae(LARGE, 32),
        "titok-vae-bl-64": _vae(BASE, 64),
        "titok-vae-bl-128": _vae(BASE, 128),
        "tatitok-bl-32": _vq(BASE, 32, text_length=_CLIP_LENGTH),
        "tatitok-bl-64": _vq(BASE, 64, text_length=_CLIP_LENGTH),
        "tatitok-bl-128": _vq(BASE, 128, text_length=_CLIP_LENGTH),
        "tatitok-vae-bl-32": _vae(BASE, 32, text_length=_CLIP_LENGTH),
        "tatitok-vae-bl-64": _vae(BASE, 64, text_length=_CLIP_LENGTH),
        "tatitok-vae-sl-128": _vae(SMALL, 128, text_length=_CLIP_LENGTH),
    }
)
