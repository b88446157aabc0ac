"""Convolution-and-attention VQ tokenizer: encoder, decoder, and the two around a codebook.

Module names are those of the published LlamaGen VQ-8 and VQ-16 checkpoints, so that their state
dicts load without a key map.

Axes: B batch, C channels, H W pixels, h w the token grid. Images are RGB in [-1, 1].
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.errors import ImageError
from layton.tokenizer.config import VQConfig
from layton.tokenizer.quantizer import Quantized, Quantizer

__all__ = [
    "AttnBlock",
    "Downsample",
    "ResBlock",
    "Upsample",
    "VQDecoder",
    "VQEncoder",
    "VQModel",
    "check_images",
]


def check_images(images: Tensor, *, multiple: int) -> None:
    """Raise ImageError unless images are float RGB (B, 3, H, W) with sides of that multiple."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ImageError(
            "images",
            f"shape {tuple(images.shape)}, {images.dtype}",
            "Pass float RGB images of shape (B, 3, H, W) in [-1, 1].",
        )
    height, width = images.shape[2:]
    if height % multiple or width % multiple or not height or not width:
        raise ImageError(
            "images",
            f"{height}×{width} px is not a multiple of {multiple}",
            f"Resize or crop to a multiple of {multiple}.",
        )


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
    """Halve the sides; the zero padding stands right and below only, as in VQGAN."""

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

    @property
    def last_layer(self) -> Tensor:
        """The weight whose gradient balances the adversarial loss (Esser et al., 2012.09841)."""
        return self.conv_out.weight

    def forward(self, z: Tensor) -> Tensor:
        """Features → images, nominally in [-1, 1]."""
        x = self.conv_in(z)
        for block in (*self.mid, *self.conv_blocks):
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class VQModel(nn.Module):
    """Encoder, codebook and decoder: a whole tokenizer without a diffusion decoder."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VQEncoder(config)
        self.decoder = VQDecoder(config)
        self.quantize = Quantizer(
            config.codebook_size, config.codebook_dim, l2_normalize=config.l2_normalize
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
            CodesError: a code is out of range or no integer.
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
