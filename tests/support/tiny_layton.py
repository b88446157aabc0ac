"""A small whole Layton tokenizer with random weights that make every part matter."""

from __future__ import annotations

import torch

from layton.tokenizer.config import (
    SamplerConfig,
    TokenizerConfig,
    UNetConfig,
    VAEConfig,
    VQConfig,
)
from layton.tokenizer.model import Tokenizer

CONFIG = TokenizerConfig(
    encoder=VQConfig(
        channels=8,
        num_res_blocks=1,
        encoder_ch_mult=(1, 2, 2),
        decoder_ch_mult=(1, 2, 2),
        z_channels=8,
        norm_num_groups=4,
        codebook_size=32,
        codebook_dim=4,
    ),
    unet=UNetConfig(
        block_out_channels=(8, 16, 16),
        num_attention_heads=(1, 2, 2),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=12,
        norm_num_groups=4,
        addition_time_embed_dim=8,
        pooled_text_dim=6,
    ),
    vae=VAEConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4),
    sampler=SamplerConfig(steps=2),
    image_px=64,
    encode_px=16,
    encode_px_choices=(12, 16, 20),
    condition_channels=(4, 6, 8),
)
"""16 codes of 32, decoded to 64 px in two steps."""


def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    """Draw every parameter anew, zero convolutions included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(noise * scale + (1.0 if parameter.ndim == 1 else 0.0))


def random_tokenizer(config: TokenizerConfig = CONFIG) -> Tokenizer:
    """A tokenizer in evaluation mode."""
    tokenizer = Tokenizer(config)
    randomize(tokenizer)
    return tokenizer.eval()
