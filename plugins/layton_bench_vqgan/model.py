"""VQGAN of taming-transformers (arXiv 2012.09841) and latent-diffusion (arXiv 2112.10752).

Module names are those of the published checkpoints. Their state dicts load without a key map. The
blocks are those of `layton.tokenizer.vq`; LlamaGen took them from VQGAN. The place of attention,
the names around the blocks, and the codebook differ.

Axes: B batch, C channels, H W pixels, h w the token grid, K codebook_size. Images are RGB in
[-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.tokenizer.inputs import check_images
from layton.tokenizer.quantizer import Quantizer
from layton.tokenizer.vq import AttnBlock, Downsample, ResBlock, Upsample

if TYPE_CHECKING:
    from layton_bench_vqgan.variants import VQGANConfig

__all__ = ["VQGAN", "GumbelQuantizer"]

_GROUPS = 32


def _res(channels: int, out_channels: int) -> ResBlock:
    return ResBlock(channels, out_channels, groups=_GROUPS, dropout=0.0)


class Level(nn.Module):
    """The blocks of one resolution, each with attention if the level attends; then a resampling.

    Args:
        channels, out_channels: at its two ends.
        count: number of residual blocks.
        attends: whether attention follows each of them.
        resample: `downsample=` or `upsample=` a module, or neither at the last level.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        count: int,
        *,
        attends: bool,
        **resample: nn.Module,
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            _res(channels if i == 0 else out_channels, out_channels) for i in range(count)
        )
        self.attn = nn.ModuleList(
            AttnBlock(out_channels, groups=_GROUPS) for _ in range(count if attends else 0)
        )
        for name, module in resample.items():
            self.add_module(name, module)
        self._resample = next(iter(resample), None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the level's output, resampled unless it is the last."""
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.get_submodule(self._resample)(x) if self._resample else x


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = _res(channels, channels)
        self.attn_1 = AttnBlock(channels, groups=_GROUPS)
        self.block_2 = _res(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Encoder(nn.Module):
    """Images (B, 3, H, W) → features (B, z_channels, H/f, W/f)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.ch_mult]
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1)
        self.down = nn.ModuleList()
        for i, (before, width) in enumerate(zip([config.channels, *widths], widths, strict=False)):
            resample = {"downsample": Downsample(width)} if i < len(widths) - 1 else {}
            count = config.num_res_blocks
            self.down.append(Level(before, width, count, attends=config.attends(i), **resample))
        self.mid = Middle(widths[-1])
        self.norm_out = nn.GroupNorm(_GROUPS, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], config.z_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] → features."""
        x = self.conv_in(images)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(x))))
        return out


class Decoder(nn.Module):
    """Features (B, z_channels, h, w) → images (B, 3, h·f, w·f)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.ch_mult]
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList()
        # level i works at 1/2^i of the pixels; it is entered from level i + 1
        for i, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
            resample = {"upsample": Upsample(width)} if i > 0 else {}
            count = config.num_res_blocks + 1
            self.up.append(Level(before, width, count, attends=config.attends(i), **resample))
        self.norm_out = nn.GroupNorm(_GROUPS, widths[0], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Features → images, nominally in [-1, 1], not clamped."""
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class GumbelQuantizer(nn.Module):
    """A codebook chosen from by predicted logits instead of by distance.

    The official code draws a Gumbel sample of the logits even when evaluating; here the code is
    their maximum, the mode of that distribution, since a tokenizer must be deterministic.
    """

    def __init__(self, codebook_size: int, codebook_dim: int, z_channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(z_channels, codebook_size, 1)
        self.embed = nn.Embedding(codebook_size, codebook_dim)

    def encode(self, z_BChw: Tensor) -> Tensor:
        """(B, C, h, w) → codes (B, h, w) int64; image by image, which needs only K·h·w scores."""
        return torch.cat([self.proj(z).argmax(1) for z in torch.split(z_BChw, 1)])

    def lookup(self, codes_Bhw: Tensor) -> Tensor:
        """Codes (B, h, w) → code vectors (B, C, h, w)."""
        vectors: Tensor = self.embed(codes_Bhw)
        return vectors.movedim(-1, 1)


class VQGAN(nn.Module):
    """Encoder, codebook and decoder."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        size, dim = config.codebook_size, config.codebook_dim
        self.quantize: Quantizer | GumbelQuantizer = (
            GumbelQuantizer(size, dim, config.z_channels)
            if config.is_gumbel
            else Quantizer(size, dim, l2_normalize=False, window=0)
        )
        self.quant_conv = nn.Conv2d(config.z_channels, dim, 1)
        self.post_quant_conv = nn.Conv2d(dim, config.z_channels, 1)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → z (B, codebook_dim, h, w), before quantisation.

        Raises:
            ImageError: wrong shape, or sides that are not multiples of the downsample factor.
        """
        check_images(images, multiple=self.config.downsample_factor)
        z: Tensor = self.quant_conv(self.encoder(images))
        return z

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → codes (B, h, w) int64."""
        return self.quantize.encode(self.features(images))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, h, w) → images (B, 3, H, W), nominally in [-1, 1], not clamped."""
        vectors = self.quantize.lookup(codes).to(self.post_quant_conv.weight.dtype)
        images: Tensor = self.decoder(self.post_quant_conv(vectors))
        return images
