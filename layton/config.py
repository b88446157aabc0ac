"""Configurations as data: every size of every part, and the named models (no code)."""

from dataclasses import dataclass

__all__ = ["VQ_8", "VQ_16", "VQConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VQConfig:
    """The convolution-and-attention VQ tokenizer (VQGAN geometry, as LlamaGen published it).

    Level i has channels · ch_mult[i] channels; each level but the last halves the side, so the
    downsample factor is 2^(levels − 1). Attention stands at the lowest resolution only.
    """

    channels: int = 128
    encoder_ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    decoder_ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    z_channels: int = 256
    norm_num_groups: int = 32
    dropout: float = 0.0
    codebook_size: int = 16384
    codebook_dim: int = 8
    l2_normalize: bool = True

    @property
    def downsample_factor(self) -> int:
        """Image side over token grid side."""
        return 1 << (len(self.encoder_ch_mult) - 1)


VQ_16 = VQConfig()
VQ_8 = VQConfig(encoder_ch_mult=(1, 2, 2, 4), decoder_ch_mult=(1, 2, 2, 4))
