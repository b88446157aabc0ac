"""The common part of all phases that train a decoder: a tokenizer with frozen parts.

Axes: B batch, C latent channels, h w latent sides, S image side.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from layton.errors import ConfigError
from layton.tokenizer import (
    NAMED_MODELS,
    Tokenizer,
    config_from_json,
    unet_config,
    vae_config,
)
from layton.training.data.seeds import sample_noise
from layton.training.data.stream import Batch
from layton.training.phases.base import Phase, images_of
from layton.weights import find_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from layton.tokenizer import TokenizerConfig

    # (x_t, timesteps) → the decoder's output, float32
    Predictor = Callable[[Tensor, Tensor | int], Tensor]

__all__ = ["DecoderPhase", "open_tokenizer", "tokenizer_from_parts"]


class DecoderPhase(Phase):
    """A tokenizer with frozen weights; each phase unfreezes the part that it trains."""

    def __init__(self, tokenizer: Tokenizer, *, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.tokenizer = tokenizer.requires_grad_(False)
        if gradient_checkpointing:
            tokenizer.decoder.enable_gradient_checkpointing()
            tokenizer.vae.enable_gradient_checkpointing()

    def train(self, mode: bool = True) -> DecoderPhase:
        """Set training mode, except for the codebook: it must not record codes here."""
        super().train(mode)
        self.tokenizer.quantize.eval()
        return self

    @torch.no_grad()
    def quantized(self, batch: Batch) -> Tensor:
        """Code vectors (B, codebook_dim, h', w') of the batch's codes, or of its images."""
        tokenizer = self.tokenizer
        if "codes" in batch:
            codes: Tensor = batch["codes"]
        else:
            codes = self._codes(images_of(batch))
        side = round(codes.shape[1] ** 0.5)
        return tokenizer.quantize.lookup(codes.view(len(codes), side, side))

    @torch.no_grad()
    def latents(self, batch: Batch) -> Tensor:
        """Scaled latents (B, C, h, w) float32 of the batch, or the VAE's means of its images."""
        if "latents" in batch:
            latents: Tensor = batch["latents"]
            return latents.float()
        vae = self.tokenizer.vae
        mean: Tensor = vae.encode(images_of(batch)).latent_dist.mode()
        return mean.float() * self.tokenizer.config.vae.scaling_factor

    def noise(self, batch: Batch, shape: torch.Size, *, purpose: str) -> Tensor:
        """Unit noise (B, C, h, w), each sample's from its seed."""
        return sample_noise(batch["seeds"], shape[1:], purpose=purpose)

    def predictor(self, embedding: Tensor, size_px: int) -> Predictor:
        """(x_t, timesteps) → the decoder's output float32, steered by the embedding."""
        scale = self.tokenizer.config.sampler.cond_scale

        def predict(x_t: Tensor, timesteps: Tensor | int) -> Tensor:
            output: Tensor = self.tokenizer.decoder(
                x_t, timesteps, embedding, size_px=(size_px, size_px), cond_scale=scale
            )
            return output.float()

        return predict

    def size_px(self, latents: Tensor) -> int:
        """Side of the images that these latents stand for."""
        return int(latents.shape[-1]) * self.tokenizer.config.vae.downsample_factor

    @torch.no_grad()
    def previews(self, batch: Batch) -> Tensor:
        """The images, what the VAE makes of their latents, and what the sampler decodes."""
        tokenizer, latents = self.tokenizer, self.latents(batch)
        noises = itertools.count()
        sampled = tokenizer.sample_latents(
            self.quantized(batch),
            draw_noise=lambda: self.noise(batch, latents.shape, purpose=f"preview {next(noises)}"),
            size_px=self.size_px(latents),
        )
        decoded = tokenizer.latents_to_images(sampled)
        ceiling = tokenizer.latents_to_images(latents)
        first = batch.get("images", ceiling)
        return torch.stack((first, ceiling, decoded.to(ceiling)))

    def export(self, folder: Path) -> None:
        """Write a tokenizer that `Tokenizer.from_pretrained(folder)` reads."""
        self.tokenizer.save_pretrained(folder)

    def _codes(self, images: Tensor) -> Tensor:
        if images.is_meta:
            return self._nearest(images)
        with torch.autocast(images.device.type, enabled=False):  # codes are exact
            return self._nearest(images)

    def _nearest(self, images: Tensor) -> Tensor:
        return self.tokenizer.quantize.encode(self._features(images)).flatten(1)

    def _features(self, images: Tensor) -> Tensor:
        # progressive resolution: images of early stages have codes too. They are resized to the
        # encoder's side, or used unchanged if they are smaller
        tokenizer, side = self.tokenizer, self.tokenizer.config.encode_px
        if images.shape[-1] > side:
            small = F.interpolate(images.float(), (side, side), mode="bicubic", antialias=True)
            images = small.clamp(-1, 1)
        z: Tensor = tokenizer.quant_conv(tokenizer.encoder(images))
        return z


def open_tokenizer(
    source: Path, *, steps: int | None = None, lora: Path | None = None, for_sizes: bool = False
) -> Tokenizer:
    """The tokenizer folder that a phase starts from, float32.

    Args:
        source: the folder; for counting, the name of a published or shipped model serves too.
        steps: it becomes a consistency decoder of so many steps; None leaves its sampler.
        lora: an acceleration LoRA to merge.
        for_sizes: its configuration alone, for counting.
    """
    if for_sizes:
        tokenizer = Tokenizer(_config_of(source))
    else:
        tokenizer = Tokenizer.from_pretrained(source, lora=lora)
    if steps is not None:
        sampler = replace(tokenizer.config.sampler, kind="consistency", steps=steps)
        tokenizer.config = replace(tokenizer.config, sampler=sampler)
    return tokenizer


def _config_of(source: Path) -> TokenizerConfig:
    name = str(source)
    if name in NAMED_MODELS and not source.is_dir():
        return NAMED_MODELS[name].config
    folder = source if source.is_dir() else find_folder(name) or source
    path = folder / "config.json"
    try:
        return config_from_json(path.read_text(), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path),
            f"cannot be read ({error})",
            "Run the phase before this one, or count with --set tokenizer=layton-ladd.",
        ) from None


def tokenizer_from_parts(
    config: TokenizerConfig, *, base: Path, vq: Path, seed: int, for_sizes: bool
) -> Tokenizer:
    """A tokenizer before phase 1: a base's U-Net and VAE, a VQ's encoder, a fresh copy."""
    if for_sizes:
        return Tokenizer(_with_sizes_of(base, config))
    return Tokenizer.from_parts(sdxl=base, vq=vq, config=config, seed=seed)


def _with_sizes_of(base: Path, config: TokenizerConfig) -> TokenizerConfig:
    """The configuration with the base's sizes, if the base is there to tell them."""
    found = {part: base / part / "config.json" for part in ("unet", "vae")}
    if not all(path.is_file() for path in found.values()):
        return config
    unet, vae = (json.loads(path.read_text()) for path in found.values())
    return replace(config, unet=unet_config(unet), vae=vae_config(vae))
