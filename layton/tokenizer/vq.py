"""The encoder and decoder of a VQ tokenizer, in convolution and attention.

Module names are those of the published LlamaGen VQ-8 and VQ-16 checkpoints. Their state dicts load
without a key map.

Axes: B batch, C channels, H W pixels, h w the token grid. Images are RGB in [-1, 1].
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from layton.tokenizer.config import VQConfig
from layton.tokenizer.inputs import check_images

__all__ = [
    "AttnBlock",
    "Downsample",
    "ResBlock",
    "Upsample",
    "VQDecoder",
    "VQEncoder",
]


def _group_norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResBlock(nn.Module):
    """GroupNorm → SiLU → conv, twice, around a shortcut."""

    def __init__(self, channels: int, out_channels: int, *, groups: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = _group_norm(channels, groups)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = _group_norm(out_channels, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h, w)."""
        y: Tensor = self.conv1(F.silu(self.norm1(x), inplace=True))
        y = self.conv2(self.dropout(F.silu(self.norm2(y), inplace=True)))
        y += self.nin_shortcut(x)
        return y


class AttnBlock(nn.Module):
    """Single-head self-attention over all positions, added to its input."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        y = self.norm(x)
        q, k, v = (p(y).flatten(2).transpose(1, 2).unsqueeze(1) for p in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        out: Tensor = x + self.proj_out(y.reshape(x.shape))
        return out


class Downsample(nn.Module):
    """Halve the sides; zero padding at the right and below only, as in VQGAN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h/2, w/2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the sides by nearest neighbour, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, 2h, 2w)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Level(nn.Module):
    """The blocks of one resolution: residual (each with attention, if any), then a resampling."""

    def __init__(
        self, res: Sequence[nn.Module], attn: Sequence[nn.Module], resample: dict[str, nn.Module]
    ) -> None:
        super().__init__()
        self.res = nn.ModuleList(res)
        self.attn = nn.ModuleList(attn)
        for name, module in resample.items():
            self.add_module(name, module)
        self._resample = next(iter(resample), None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the level's output, resampled unless it is the last."""
        for i, block in enumerate(self.res):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.get_submodule(self._resample)(x) if self._resample else x


def _middle(channels: int, config: VQConfig) -> nn.ModuleList:
    groups, dropout = config.norm_num_groups, config.dropout
    return nn.ModuleList(
        [
            ResBlock(channels, channels, groups=groups, dropout=dropout),
            AttnBlock(channels, groups=groups),
            ResBlock(channels, channels, groups=groups, dropout=dropout),
        ]
    )


def _level(
    channels: int, out_channels: int, count: int, *, attends: bool, config: VQConfig
) -> tuple[list[nn.Module], list[nn.Module]]:
    groups, dropout = config.norm_num_groups, config.dropout
    res: list[nn.Module] = [
        ResBlock(channels if i == 0 else out_channels, out_channels, groups=groups, dropout=dropout)
        for i in range(count)
    ]
    attn: list[nn.Module] = [
        AttnBlock(out_channels, groups=groups) for _ in range(count if attends else 0)
    ]
    return res, attn


class VQEncoder(nn.Module):
    """Images (B, 3, H, W) → features (B, z_channels, H/f, W/f)."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.encoder_ch_mult]
        self.downsample_factor = config.downsample_factor
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1)
        self.conv_blocks = nn.ModuleList()
        for i, (before, width) in enumerate(zip([config.channels, *widths], widths, strict=False)):
            last = i == len(widths) - 1
            blocks = _level(before, width, config.num_res_blocks, attends=last, config=config)
            resample: dict[str, nn.Module] = {} if last else {"downsample": Downsample(width)}
            self.conv_blocks.append(Level(*blocks, resample))
        self.mid = _middle(widths[-1], config)
        self.norm_out = _group_norm(widths[-1], config.norm_num_groups)
        self.conv_out = nn.Conv2d(widths[-1], config.z_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [-1, 1], sides multiples of the downsample factor → features."""
        check_images(images, multiple=self.downsample_factor)
        x = self.conv_in(images)
        for block in (*self.conv_blocks, *self.mid):
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class VQDecoder(nn.Module):
    """Features (B, z_channels, h, w) → images (B, 3, h·f, w·f), not clamped."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in reversed(config.decoder_ch_mult)]
        self.conv_in = nn.Conv2d(config.z_channels, widths[0], 3, padding=1)
        self.mid = _middle(widths[0], config)
        self.conv_blocks = nn.ModuleList()
        for i, (before, width) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            blocks = _level(before, width, config.num_res_blocks + 1, attends=i == 0, config=config)
            resample: dict[str, nn.Module] = (
                {} if i == len(widths) - 1 else {"upsample": Upsample(width)}
            )
            self.conv_blocks.append(Level(*blocks, resample))
        self.norm_out = _group_norm(widths[-1], config.norm_num_groups)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Features → images, nominally in [-1, 1]."""
        x = self.conv_in(z)
        for block in (*self.mid, *self.conv_blocks):
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out
