"""The decoder of MaskGIT's VQGAN, which the first TiTok models end in.

Module names are those of the published checkpoints. Unlike taming's VQGAN it has no attention and
no biases inside its blocks, and where a block changes its width, the 1×1 shortcut is applied to
the block's *output* and the input is dropped: the published weights were trained that way.

Axes: B batch, C channels, h w the code grid, H W pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from layton.tokenizer.folding import FoldedUpsample

if TYPE_CHECKING:
    from layton_bench_titok.variants import PixelConfig

__all__ = ["PixelDecoder"]


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class _Block(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        if channels != out_channels:
            self.nin_shortcut = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self._changes_width = channels != out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1(F.silu(self.norm1(x), inplace=True))
        y = self.conv2(F.silu(self.norm2(y), inplace=True))
        y += self.nin_shortcut(y) if self._changes_width else x
        return y


class _Doubling(nn.Conv2d):
    """Nearest-neighbour doubling, then the convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Level(nn.Module):
    def __init__(self, channels: int, out_channels: int, count: int, *, upsamples: bool) -> None:
        super().__init__()
        widths = [channels] + [out_channels] * count
        self.block = nn.ModuleList(_Block(a, b) for a, b in pairwise(widths))
        if upsamples:
            self.upsample_conv: nn.Module = _Doubling(out_channels, out_channels, 3, padding=1)
        self._upsamples = upsamples

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.upsample_conv(x) if self._upsamples else x


class PixelDecoder(nn.Module):
    """Code vectors (B, z_channels, h, w) → images (B, 3, H, W), nominally in [0, 1]."""

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.ch_mult]
        count = config.num_res_blocks
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = nn.ModuleList(_Block(widths[-1], widths[-1]) for _ in range(count))
        # level i works at 1/2^i of the pixels; it is entered from level i + 1
        self.up = nn.ModuleList(
            _Level(before, width, count, upsamples=i > 0)
            for i, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))
        )
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def fold_upsampling(self) -> None:
        """Make each doubling and its convolution one operation, in place; for inference."""
        for level in self.up:
            if isinstance(conv := getattr(level, "upsample_conv", None), _Doubling):
                level.upsample_conv = FoldedUpsample(conv)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, z_channels, h, w) → (B, 3, h·f, w·f), not clamped."""
        x = self.conv_in(vectors)
        for module in (*self.mid, *reversed(self.up)):
            x = module(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out
