"""Transformer over image patches, in place of the convolutional encoder, and back to pixels.

Positions are fixed two-dimensional sines and cosines (He et al., arXiv 2111.06377). They are not
learned, so any grid works. Axes: B batch, N = h·w patches, D width.
"""

import torch
from torch import Tensor, nn

from layton.tokenizer.config import ViTConfig
from layton.tokenizer.inputs import check_images

__all__ = ["ViTDecoder", "ViTEncoder", "sincos_positions"]


def sincos_positions(height: int, width: int, dim: int) -> Tensor:
    """Position embedding (height·width, dim), float32: half of it for rows, half for columns.

    Each half is [sin(p·ω), cos(p·ω)] with ω_i = 10000^(−4i/dim), i < dim/4.
    """
    omega = 10000.0 ** (-torch.arange(dim // 4) / (dim // 4))
    rows = torch.arange(height)[:, None] * omega
    columns = torch.arange(width)[:, None] * omega
    row_part = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, width, -1)
    column_part = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(height, -1, -1)
    return torch.cat([row_part, column_part], 2).flatten(0, 1)


def _block(config: ViTConfig) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        config.width,
        config.num_heads,
        config.width * config.mlp_ratio,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )


class ViTEncoder(nn.Module):
    """Images (B, 3, H, W) → features (B, z_channels, H/p, W/p)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.downsample_factor = config.patch_size
        self.patches = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)
        # as strong as the positions: with torch's own scale the positions would hide the picture
        nn.init.normal_(self.patches.weight, std=0.08)
        self.blocks = nn.Sequential(
            *(_block(config) for _ in range(config.depth)), nn.LayerNorm(config.width)
        )
        self.conv_out = nn.Conv2d(config.width, config.z_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [-1, 1], sides multiples of the patch size → features."""
        check_images(images, multiple=self.downsample_factor)
        x = self.patches(images)
        height, width = x.shape[2:]
        positions = sincos_positions(height, width, x.shape[1]).to(x)
        x = self.blocks(x.flatten(2).transpose(1, 2) + positions)
        out: Tensor = self.conv_out(x.transpose(1, 2).unflatten(2, (height, width)))
        return out


class ViTDecoder(nn.Module):
    """Features (B, z_channels, h, w) → images (B, 3, h·p, w·p), not clamped.

    The mirror of the encoder: each token becomes its patch. It trains a codebook whose encoder is a
    transformer. A finished Layton does not use it.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(config.z_channels, config.width, 1)
        nn.init.normal_(self.conv_in.weight, std=config.z_channels**-0.5)  # likewise
        self.blocks = nn.Sequential(
            *(_block(config) for _ in range(config.depth)), nn.LayerNorm(config.width)
        )
        self.patches = nn.Linear(config.width, 3 * config.patch_size**2)
        self.unpatch = nn.PixelShuffle(config.patch_size)

    def forward(self, z: Tensor) -> Tensor:
        """Features → images, nominally in [-1, 1]."""
        x = self.conv_in(z)
        height, width = x.shape[2:]
        positions = sincos_positions(height, width, x.shape[1]).to(x)
        x = self.patches(self.blocks(x.flatten(2).transpose(1, 2) + positions))
        out: Tensor = self.unpatch(x.transpose(1, 2).unflatten(2, (height, width)))
        return out
