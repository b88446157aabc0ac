"""LADD, the latent diffusion decoder: a U-Net steered by the codes through a ControlNet copy.

The copy of the U-Net's encoder sees the noisy latents plus an embedding of the code vectors; its
features join the U-Net's skip connections through zero convolutions (Zhang et al., arXiv
2302.05543). Text states and pooled text are zeros. Micro-conditioning (Podell et al., arXiv
2307.01952) is (height, width, 0, 0, height, width).

Blocks come from diffusers and keep its names; the order in which they run is written out here once
and serves training and folded inference alike.

Axes: B batch, C channels, h w latent sides. Latents are scaled (raw · scaling_factor).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from layton.errors import ConfigError, ImageError
from layton.tokenizer.folding import FoldedResnet, fold_unet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layton.tokenizer.config import UNetConfig

__all__ = ["ENCODER_PARTS", "LADD", "ConditionEmbedding"]

# the parts of a U-Net that its ControlNet copy starts from
ENCODER_PARTS = ("conv_in.", "time_embedding.", "add_embedding.", "down_blocks.", "mid_block.")

# what runs through a half in place of the time embedding once it is folded
TimeInput = Tensor | list[Tensor]


class ConditionEmbedding(nn.Module):
    """Code vectors on the latent grid (B, c, h, w) → an addend to the copy's first features.

    ControlNet's embedding without strides: the condition already has the latent grid's size.
    """

    def __init__(self, condition_dim: int, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(condition_dim, channels[0], 3, padding=1)
        widths = [width for a, b in pairwise(channels) for width in ((a, a), (a, b))]
        self.blocks = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in widths)
        self.conv_out = nn.Conv2d(channels[-1], out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(cast(Tensor, self.conv_out.bias))

    def forward(self, condition: Tensor) -> Tensor:
        """(B, c, h, w) → (B, C, h, w)."""
        x = F.silu(self.conv_in(condition))
        for block in self.blocks:
            x = F.silu(block(x))
        out: Tensor = self.conv_out(x)
        return out


class LADD(nn.Module):
    """Prediction (noise or v) from noisy latents, a timestep and the embedded code vectors."""

    def __init__(
        self, config: UNetConfig, *, condition_dim: int, condition_channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        shared = config.to_diffusers()
        build_unet, build_copy = cast(Any, UNet2DConditionModel), cast(Any, ControlNetModel)
        self.unet = build_unet(
            **shared, out_channels=config.latent_channels, up_block_types=config.up_block_types
        )
        self.controlnet = build_copy(**shared)
        self.controlnet.controlnet_cond_embedding = ConditionEmbedding(
            condition_dim, condition_channels, config.block_out_channels[0]
        )
        self._resnets: tuple[list[FoldedResnet], list[FoldedResnet]] | None = None
        self._planned: dict[tuple[Any, ...], tuple[list[Tensor], list[Tensor]]] = {}

    @property
    def is_folded(self) -> bool:
        """Whether `fold` has run: inference only, one timestep for the whole batch."""
        return self._resnets is not None

    def copy_encoder(self) -> None:
        """Start the ControlNet copy from the U-Net's encoder (its zero convolutions stay)."""
        state = self.unet.state_dict()
        copied = {key: value for key, value in state.items() if key.startswith(ENCODER_PARTS)}
        self.controlnet.load_state_dict(copied, strict=False)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass instead of keeping them."""
        self.unet.enable_gradient_checkpointing()
        self.controlnet.enable_gradient_checkpointing()

    def embed(self, quantized: Tensor, latent_size: tuple[int, int]) -> Tensor:
        """Code vectors → their embedding, computed once per image for any number of steps.

        Args:
            quantized: (B, codebook_dim, h', w') l2-normalised code vectors.
            latent_size: (h, w) of the latents, to which the vectors are repeated (nearest).

        Returns:
            (B, block_out_channels[0], h, w).
        """
        condition = F.interpolate(quantized.float(), latent_size, mode="nearest")
        dtype = self.controlnet.conv_in.weight.dtype
        embedding: Tensor = self.controlnet.controlnet_cond_embedding(condition.to(dtype))
        return embedding

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor | int,
        embedding: Tensor,
        *,
        size_px: tuple[int, int],
        cond_scale: float = 1.0,
    ) -> Tensor:
        """What the U-Net predicts, (B, C, h, w): the noise, or v where the schedule says so.

        Args:
            latents: (B, C, h, w) noisy scaled latents; sides multiples of the downsample factor.
            timesteps: one int for all, or (B,) integers.
            embedding: what `embed` returned for these latents.
            size_px: (height, width) in pixels, for the micro-conditioning.
            cond_scale: factor on the residuals of the ControlNet copy; 0 skips it.

        Raises:
            ImageError: latent sides are not multiples of the downsample factor.
            ConfigError: folded, and timesteps is a tensor.
        """
        multiple = self.config.downsample_factor
        if latents.shape[2] % multiple or latents.shape[3] % multiple:
            raise ImageError("latents", f"sides {tuple(latents.shape[2:])}", f"Use {multiple}·n.")
        for_unet, for_copy = self._time_inputs(timesteps, latents, size_px)
        return self._predict(latents, embedding, for_unet, for_copy, cond_scale)

    def _predict(
        self,
        latents: Tensor,
        embedding: Tensor,
        for_unet: TimeInput,
        for_copy: TimeInput,
        cond_scale: float,
    ) -> Tensor:
        text = self._text_states(latents)
        x, skips = _run_encoder(self.unet, self.unet.conv_in(latents), for_unet, text)
        if cond_scale != 0.0:
            start = self.controlnet.conv_in(latents) + embedding
            middle, features = _run_encoder(self.controlnet, start, for_copy, text)
            zero_convs = self.controlnet.controlnet_down_blocks
            residuals = [conv(f) for conv, f in zip(zero_convs, features, strict=True)]
            skips = [s + r * cond_scale for s, r in zip(skips, residuals, strict=True)]
            x = x + self.controlnet.controlnet_mid_block(middle) * cond_scale
        return _run_decoder(self.unet, x, skips, for_unet, text)

    def fold(self) -> None:
        """Fold the constants of the U-Net and its copy; see layton.tokenizer.folding."""
        if self._resnets is None:
            self._resnets = fold_unet(self.unet), fold_unet(self.controlnet)

    def compile_steps(self) -> None:
        """Compile the part that every step runs; time inputs stay outside."""
        self._predict = torch.compile(self._predict)  # type: ignore[method-assign]

    @torch.no_grad()
    def plan(self, timestep: int, size_px: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the biases of all residual blocks at that timestep, and keep them.

        Raises:
            ConfigError: not folded.
        """
        if self._resnets is None:
            raise ConfigError("plan", "the decoder is not folded", "Call fold() first.")
        weight = self.unet.conv_in.weight
        key = (timestep, size_px, weight.dtype, weight.device)
        if key not in self._planned:
            when = torch.tensor([timestep], device=weight.device)
            halves = zip((self.unet, self.controlnet), self._resnets, strict=True)
            embs = [
                (self._embed_time(half, when, size_px, torch.float32), resnets)
                for half, resnets in halves
            ]
            unet, copy = ([r.bias(emb) for r in resnets] for emb, resnets in embs)
            self._planned[key] = unet, copy
        return self._planned[key]

    def _time_inputs(
        self, timesteps: Tensor | int, latents: Tensor, size_px: tuple[int, int]
    ) -> tuple[TimeInput, TimeInput]:
        if self._resnets is not None:
            if isinstance(timesteps, Tensor):
                raise ConfigError(
                    "timesteps", "a folded decoder takes one timestep for the batch", "Pass an int."
                )
            return self.plan(timesteps, size_px)
        when = torch.as_tensor(timesteps, device=latents.device).expand(len(latents))
        dtype = latents.dtype
        return (
            self._embed_time(self.unet, when, size_px, dtype),
            self._embed_time(self.controlnet, when, size_px, dtype),
        )

    def _embed_time(
        self, half: Any, timesteps: Tensor, size_px: tuple[int, int], dtype: torch.dtype
    ) -> Tensor:
        emb = _mlp(half.time_embedding, half.time_proj(timesteps).to(dtype))
        if not self.config.addition_time_embed_dim:
            return emb
        height, width = size_px
        ids = torch.tensor([height, width, 0, 0, height, width], device=timesteps.device)
        micro = half.add_time_proj(ids).flatten().to(dtype)
        pooled_text = micro.new_zeros(self.config.pooled_text_dim)
        return emb + _mlp(half.add_embedding, torch.cat([pooled_text, micro])[None])

    def _text_states(self, latents: Tensor) -> Tensor | None:
        # one zero token is enough: a softmax over equal keys averages equal values
        if self.is_folded:
            return None
        return latents.new_zeros(len(latents), 1, self.config.cross_attention_dim)


def _mlp(embedding: Any, x: Tensor) -> Tensor:
    if x.dtype == embedding.linear_1.weight.dtype:
        out: Tensor = embedding(x)
        return out
    first, second = (
        (layer.weight.to(x.dtype), layer.bias.to(x.dtype))
        for layer in (embedding.linear_1, embedding.linear_2)
    )
    return F.linear(F.silu(F.linear(x, *first)), *second)


def _run_encoder(
    half: Any, x: Tensor, time: TimeInput, text: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    # (B, C0, h, w) → output of the middle block, and all skip features from the first on
    skips = [x]
    for block in half.down_blocks:
        x, features = block(x, time, **_text_argument(block, text))
        skips.extend(features)
    return half.mid_block(x, time, **_text_argument(half.mid_block, text)), skips


def _run_decoder(
    unet: Any, x: Tensor, skips: list[Tensor], time: TimeInput, text: Tensor | None
) -> Tensor:
    for block in unet.up_blocks:
        count = len(block.resnets)
        used, skips = tuple(skips[-count:]), skips[:-count]
        x = block(x, used, time, **_text_argument(block, text))
    out: Tensor = unet.conv_out(F.silu(unet.conv_norm_out(x)))
    return out


def _text_argument(block: Any, text: Tensor | None) -> dict[str, Tensor | None]:
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
