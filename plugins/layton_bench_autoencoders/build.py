"""Autoencoders built from diffusers' parts and filled strictly from any published form.

Axes: B batch, C channels, H W pixels, h w latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from layton.errors import CheckpointError
from layton.weights.checkpoint import load_strict, read_state

if TYPE_CHECKING:
    from layton_bench_autoencoders.variants import AutoencoderConfig

__all__ = ["build", "load"]

_kl: Any = AutoencoderKL  # diffusers' constructors are untyped
_tiny: Any = AutoencoderTiny

# names of attention layers until diffusers 0.18; both spellings are published
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_POOLED_BLOCKS = 3


class PooledBlock(nn.Module):
    """A block of AutoencoderTiny with an extra group-normalised 1×1 branch at its input.

    The group norm's statistics cover the whole image. TAEF2 thereby sees more than its small
    receptive field.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv, self.fuse = block.conv, block.fuse
        channels = self.conv[0].in_channels
        self.pool = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1, bias=False),
            nn.GroupNorm(4, 4 * channels),
            nn.ReLU(),
            nn.Conv2d(4 * channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        x = x + self.pool(x)
        out: Tensor = self.fuse(self.conv(x) + x)
        return out


def build(config: AutoencoderConfig) -> Any:
    """Build the module of that configuration, with diffusers' names."""
    if not config.is_tiny:
        levels = len(config.channels)
        return _kl(
            block_out_channels=config.channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=config.num_res_blocks,
            norm_num_groups=config.norm_num_groups,
            latent_channels=config.latent_channels,
            use_quant_conv=config.has_quant_convs,
            use_post_quant_conv=config.has_quant_convs,
        )
    model = _tiny(latent_channels=config.latent_channels)
    if config.is_pooled:
        encoder, decoder = model.encoder.layers, model.decoder.layers
        # before the encoder's last convolution, after the decoder's first one and its ReLU
        first = len(encoder) - 1 - _POOLED_BLOCKS
        for i in range(_POOLED_BLOCKS):
            encoder[first + i] = PooledBlock(encoder[first + i])
            decoder[2 + i] = PooledBlock(decoder[2 + i])
    return model


def load(config: AutoencoderConfig, path: Path) -> Any:
    """Load the module from a published file or folder, in evaluation mode and the file's dtype.

    It reads diffusers' files (both spellings of attention), and the TAESD family's original pair
    `…_encoder.pth`, `…_decoder.pth` in one folder.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the model.
    """
    with torch.device("meta"):
        model = build(config)
    state = _tiny_state(path) if config.is_tiny else _kl_state(path)
    load_strict(model, state, source=str(path))
    return model.eval()


def _kl_state(path: Path) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        parent, _, name = key.rpartition(".")
        owner, _, layer = parent.rpartition(".")
        return f"{owner}.{_OLD_NAMES[layer]}.{name}" if layer in _OLD_NAMES else key

    return {renamed(key): tensor for key, tensor in read_state(path).items()}


def _tiny_state(path: Path) -> dict[str, Tensor]:
    parts = {part: _part_file(path, part) for part in ("encoder", "decoder")}
    if not any(parts.values()):
        return read_state(path)
    lacking = [part for part, file in parts.items() if file is None]
    if lacking:
        raise CheckpointError(
            str(path), f"has no file *_{lacking[0]}.pth", "Put both parts in one folder."
        )
    state: dict[str, Tensor] = {}
    for part, file in parts.items():
        assert file is not None
        state |= _in_diffusers_names(part, read_state(file))
    return state


def _part_file(path: Path, part: str) -> Path | None:
    found = [file for file in sorted(path.glob(f"*_{part}.*")) if file.is_file()]
    return found[0] if found else None


def _in_diffusers_names(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`3.conv.0.weight` → `encoder.layers.3.conv.0.weight`.

    The original decoder counts its parameterless clamp as layer 0; diffusers' does not.
    """
    shift = 1 if part == "decoder" else 0
    renamed = {}
    for key, tensor in state.items():
        index, _, rest = key.partition(".")
        if not index.isdecimal():
            return dict(state)
        renamed[f"{part}.layers.{int(index) - shift}.{rest}"] = tensor
    return renamed
