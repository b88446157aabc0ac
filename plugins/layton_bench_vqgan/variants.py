"""The published VQGANs as data, no torch.

Sizes are those of the published configuration files: taming-transformers (configs/) for f16 and
Gumbel, latent-diffusion (models/first_stage_models/) for the two f8 models.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["VARIANTS", "VQGANConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VQGANConfig:
    """One model.

    Level i has channels · ch_mult[i] channels and works at 1/2^i of the pixels.

    Attributes:
        channels, ch_mult, num_res_blocks, z_channels: of encoder and decoder.
        attn_resolutions: nominal sides (`resolution` / 2^i, for any actual input) of the levels
            with attention; the middle always has it.
        resolution: nominal image side.
        codebook_size, codebook_dim: number and width of the code vectors.
        is_gumbel: codes are the largest of `codebook_size` predicted logits instead of the
            nearest code vectors.
    """

    ch_mult: tuple[int, ...]
    attn_resolutions: tuple[int, ...]
    codebook_size: int
    codebook_dim: int
    z_channels: int
    channels: int = 128
    num_res_blocks: int = 2
    resolution: int = 256
    is_gumbel: bool = False

    @property
    def downsample_factor(self) -> int:
        """Image side over token grid side."""
        return 1 << (len(self.ch_mult) - 1)

    def attends(self, level: int) -> bool:
        """Whether the blocks of this level are followed by attention."""
        return self.resolution >> level in self.attn_resolutions


def _f16(codebook_size: int) -> VQGANConfig:
    return VQGANConfig(
        ch_mult=(1, 1, 2, 2, 4),
        attn_resolutions=(16,),
        codebook_size=codebook_size,
        codebook_dim=256,
        z_channels=256,
    )


def _f8(codebook_size: int) -> VQGANConfig:
    return VQGANConfig(
        ch_mult=(1, 2, 2, 4),
        attn_resolutions=(32,),
        codebook_size=codebook_size,
        codebook_dim=4,
        z_channels=4,
    )


VARIANTS = MappingProxyType(
    {
        "vqgan-f16-1024": _f16(1024),
        "vqgan-f16-16384": _f16(16384),
        "vqgan-f8-256": _f8(256),
        "vqgan-f8-16384": _f8(16384),
        "vqgan-gumbel-f8-8192": VQGANConfig(
            ch_mult=(1, 1, 2, 4),
            attn_resolutions=(32,),
            codebook_size=8192,
            codebook_dim=256,
            z_channels=256,
            is_gumbel=True,
        ),
    }
)
