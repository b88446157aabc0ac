"""Floating-point operations of a tokenizer, counted by torch on tensors without storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from layton.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from layton.tokenizer import TokenizerConfig

__all__ = ["Flops", "count_flops"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flops:
    """Operations per image; a multiply-add counts two, as in torch's counter.

    Attributes:
        encode: encoder.
        condition: embedding of the code vectors, once per image.
        step: one call of U-Net and ControlNet copy.
        vae: decoding the latents.
        decode: condition + steps · step + vae.
    """

    encode: int
    condition: int
    step: int
    vae: int
    decode: int


@torch.no_grad()
def count_flops(config: TokenizerConfig, *, steps: int | None = None, folded: bool = True) -> Flops:
    """Count the operations of encoding and decoding one image; needs no weights.

    Args:
        config: the tokenizer.
        steps: model calls; None: the configuration's.
        folded: after optimize_for_inference, or before.
    """
    with torch.device("meta"):
        tokenizer = Tokenizer(config).eval()
        if folded:
            tokenizer.optimize_for_inference()
        images = torch.empty(1, 3, config.encode_px, config.encode_px)
        grid = config.encode_px // config.encoder.downsample_factor
        quantized = torch.empty(1, config.encoder.codebook_dim, grid, grid)
        side = config.image_px // config.vae.downsample_factor
        latents = torch.empty(1, config.unet.latent_channels, side, side)
        embedding = tokenizer.decoder.embed(quantized, (side, side))
    size_px = (config.image_px, config.image_px)
    encode = _count(lambda: tokenizer.features(images))
    condition = _count(lambda: tokenizer.decoder.embed(quantized, (side, side)))
    step = _count(lambda: tokenizer.decoder(latents, 0, embedding, size_px=size_px))
    vae = _count(lambda: tokenizer.latents_to_images(latents))
    calls = len(tokenizer.timesteps(steps))
    return Flops(
        encode=encode,
        condition=condition,
        step=step,
        vae=vae,
        decode=condition + calls * step + vae,
    )


def _count(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
