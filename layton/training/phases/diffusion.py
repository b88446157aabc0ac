"""A small latent diffusion U-Net from images alone: the base of Layton's decoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from layton.tokenizer import (
    NoiseConfig,
    NoiseSchedule,
    UNetConfig,
    ddim_timesteps,
    read_part,
    sample_ddim,
)
from layton.training.data.seeds import sample_noise, sample_timesteps
from layton.training.phases.base import Outcome, Phase, PhaseRecipe, images_of

if TYPE_CHECKING:
    from layton.training.data.stream import Batch

__all__ = ["DiffusionPhase", "Recipe"]

_PREVIEW_STEPS = 25


class Recipe(PhaseRecipe):
    """Recipe of phase `diffusion`."""

    phase: Literal["diffusion"]
    """Which phase."""
    vae: Path
    """A diffusers folder with a `vae`, as phase `vae` exports it."""
    unet: UNetConfig = UNetConfig()
    """Sizes of the U-Net."""
    noise: NoiseConfig = NoiseConfig()
    """Schedule, and what the U-Net predicts."""

    def build(self, *, for_sizes: bool = False) -> DiffusionPhase:
        """See `PhaseRecipe.build`."""
        return DiffusionPhase(self, read_part(self.vae, "vae", for_sizes=for_sizes))


class DiffusionPhase(Phase):
    """A U-Net without conditions, and E‖f(z_t, t) − target‖² (Ho et al., arXiv 2006.11239)."""

    def __init__(self, recipe: Recipe, vae: AutoencoderKL) -> None:
        super().__init__()
        self._recipe = recipe
        self.vae: Any = cast(Any, vae).requires_grad_(False).eval()
        build = cast(Any, UNet2DConditionModel)
        self.unet = build(
            **recipe.unet.to_diffusers(),
            out_channels=recipe.unet.latent_channels,
            up_block_types=recipe.unet.up_block_types,
        )
        if recipe.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.schedule = NoiseSchedule(recipe.noise)

    def forward(self, batch: Batch, step: int) -> Outcome:  # noqa: ARG002 no stage depends on it
        """Noise the latents to a random timestep and predict; see `Phase.forward`."""
        x0, seeds = self._latents(batch), batch["seeds"]
        eps = sample_noise(seeds, x0.shape[1:], purpose="noise")
        timesteps = sample_timesteps(seeds, 0, len(self.schedule), purpose="timestep")
        x_t = self.schedule.add_noise(x0, eps, timesteps)
        target = self.schedule.target(x0, eps, timesteps)
        return Outcome(loss=F.mse_loss(self._predict(x_t, timesteps).float(), target))

    @torch.no_grad()
    def previews(self, batch: Batch) -> Tensor:
        """The samples after the VAE, and draws from noise."""
        latents = self._latents(batch)
        noise = sample_noise(batch["seeds"], latents.shape[1:], purpose="preview")
        drawn = sample_ddim(
            lambda x_t, t: self._predict(x_t, torch.full((len(x_t),), t)).float(),
            noise,
            schedule=self.schedule,
            timesteps=ddim_timesteps(_PREVIEW_STEPS, len(self.schedule)),
        )
        images = [
            self.vae.decode(z / self.vae.config.scaling_factor, return_dict=False)[0].float()
            for z in (latents, drawn)
        ]
        return torch.stack(images).clamp(-1, 1)

    def export(self, folder: Path) -> None:
        """Write a diffusers folder with `unet` and `vae`."""
        self.unet.save_pretrained(folder / "unet")
        self.vae.save_pretrained(folder / "vae")

    @torch.no_grad()
    def _latents(self, batch: Batch) -> Tensor:
        if "latents" in batch:
            latents: Tensor = batch["latents"]
            return latents.float()
        mean: Tensor = self.vae.encode(images_of(batch)).latent_dist.mode()
        scaled: Tensor = mean.float() * self.vae.config.scaling_factor
        return scaled

    def _predict(self, x_t: Tensor, timesteps: Tensor) -> Tensor:
        config = self._recipe.unet
        text = x_t.new_zeros(len(x_t), 1, config.cross_attention_dim)
        added = None
        if config.addition_time_embed_dim:
            side = x_t.shape[-1] * (1 << (len(self.vae.config.block_out_channels) - 1))
            ids = torch.tensor([side, side, 0, 0, side, side], device=x_t.device)
            added = {
                "text_embeds": x_t.new_zeros(len(x_t), config.pooled_text_dim),
                "time_ids": ids.expand(len(x_t), -1),
            }
        out: Tensor = self.unet(x_t, timesteps, text, added_cond_kwargs=added, return_dict=False)[0]
        return out
