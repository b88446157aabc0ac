"""Phase 2 of Layton, latent consistency: the few-step decoder learns from pixels.

The accelerated decoder takes one to three steps from pure noise to ẑ₀, and the VAE decodes it.
L_PR = perceptual loss(Dec(ẑ₀), x₀) (arXiv 2503.08377) is back-propagated through the VAE and the
last step. Earlier steps have no gradients, as in TLCM's phase.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from layton.tokenizer import consistency_timesteps, sample_consistency
from layton.training.data.seeds import sample_timesteps
from layton.training.lora import LoRARecipe, add_lora, merged_state
from layton.training.phases.base import Outcome, PhaseRecipe, images_of
from layton.training.phases.decoder import DecoderPhase, open_tokenizer
from layton.training.reconstruction import PixelTerms, ReconstructionRecipe

if TYPE_CHECKING:
    from layton.tokenizer import Tokenizer
    from layton.training.data.stream import Batch

__all__ = ["LatentConsistencyPhase", "Recipe"]


class Recipe(PhaseRecipe):
    """Recipe of phase `consistency`."""

    phase: Literal["consistency"]
    """Which phase."""
    tokenizer: Path
    """A tokenizer folder of phase `alignment`, or of `distillation` with its LoRA merged."""
    acceleration: Path | None = None
    """An acceleration LoRA to merge first: HyperSD's or TLCM's file, or your own."""
    steps: PositiveInt = 1
    """Steps from noise to ẑ₀ (1 for HyperSD, 2 or 3 for TLCM); the exported sampler's too."""
    unet: Literal["frozen", "lora", "full"] = "lora"
    """Which part of the U-Net is trained beside the copy."""
    lora: LoRARecipe = LoRARecipe()
    """The LoRA, if `unet` is "lora"."""
    reconstruction: ReconstructionRecipe = ReconstructionRecipe(l1=0.0, lpips=1.0)
    """L_PR: LPIPS, or L1 with MS-SSIM, which needs no weights."""
    crop_px: PositiveInt | None = None
    """Side of the random square that the VAE decodes and the loss compares; None: the whole image.
    A quarter of the area needs a quarter of the VAE's time and memory."""
    latent_weight: NonNegativeFloat = 0.0
    """Factor on ‖ẑ₀ − z₀‖² beside L_PR."""

    def build(self, *, for_sizes: bool = False) -> LatentConsistencyPhase:
        """See `PhaseRecipe.build`."""
        tokenizer = open_tokenizer(
            self.tokenizer, steps=self.steps, lora=self.acceleration, for_sizes=for_sizes
        )
        return LatentConsistencyPhase(self, tokenizer, with_perceptual=not for_sizes)


class LatentConsistencyPhase(DecoderPhase):
    """The copy trains, and the U-Net as the recipe says."""

    def __init__(
        self, recipe: Recipe, tokenizer: Tokenizer, *, with_perceptual: bool = True
    ) -> None:
        super().__init__(tokenizer, gradient_checkpointing=recipe.gradient_checkpointing)
        self._recipe = recipe
        self._terms = PixelTerms(recipe.reconstruction, with_perceptual=with_perceptual)
        tokenizer.decoder.controlnet.requires_grad_(True)
        if recipe.unet == "full":
            tokenizer.decoder.unet.requires_grad_(True)
        if recipe.unet == "lora":
            add_lora(tokenizer.decoder.unet, recipe.lora)

    def forward(self, batch: Batch, step: int) -> Outcome:  # noqa: ARG002 no stage depends on it
        """Decode the images' codes from noise and compare pixels; see `Phase.forward`."""
        images, recipe, tokenizer = images_of(batch), self._recipe, self.tokenizer
        side = images.shape[-1] // tokenizer.config.vae.downsample_factor
        z0 = self._sample(batch, side, size_px=images.shape[-1])
        window, target = self._cut(z0, images, batch)
        raw = window / tokenizer.config.vae.scaling_factor
        decoded = tokenizer.vae.decode(raw, return_dict=False)[0]
        loss, parts = self._terms(decoded, target)
        if recipe.latent_weight:
            distance = F.mse_loss(z0, self.latents(batch))
            loss = loss + recipe.latent_weight * distance
            parts["latent"] = distance.detach()
        parts["brightness"] = (decoded.detach().float() - target).mean()
        return Outcome(loss=loss, parts=parts)

    def export(self, folder: Path) -> None:
        """Write the tokenizer, a LoRA merged."""
        unet = self.tokenizer.decoder.unet
        merged = merged_state(unet) if self._recipe.unet == "lora" else None
        self.tokenizer.save_pretrained(folder, unet=merged)

    def _sample(self, batch: Batch, side: int, *, size_px: int) -> Tensor:
        tokenizer = self.tokenizer
        shape = torch.Size((len(batch["seeds"]), tokenizer.config.unet.latent_channels, side, side))
        timesteps = consistency_timesteps(self._recipe.steps, len(tokenizer.schedule))
        noises = (
            self.noise(batch, shape, purpose=f"noise {number}") for number in range(len(timesteps))
        )
        embedding = tokenizer.decoder.embed(self.quantized(batch), (side, side))
        predict = self.predictor(embedding, size_px)

        def step(x_t: Tensor, timestep: int) -> Tensor:
            with torch.set_grad_enabled(timestep == timesteps[-1] and torch.is_grad_enabled()):
                return predict(x_t, timestep)

        return sample_consistency(
            step,
            next(noises),
            schedule=tokenizer.schedule,
            timesteps=timesteps,
            draw_noise=lambda: next(noises),
        )

    def _cut(self, z0: Tensor, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same random window of every sample's latents and pixels."""
        crop_px, factor = self._recipe.crop_px, self.tokenizer.config.vae.downsample_factor
        if crop_px is None or crop_px >= images.shape[-1]:
            return z0, images
        side = crop_px // factor
        room = z0.shape[-1] - side + 1
        tops = sample_timesteps(batch["seeds"], 0, room, purpose="window row").tolist()
        lefts = sample_timesteps(batch["seeds"], 0, room, purpose="window column").tolist()
        corners = list(zip(tops, lefts, strict=True))
        windows = [z[:, a : a + side, b : b + side] for z, (a, b) in zip(z0, corners, strict=True)]
        targets = [
            x[:, a * factor : a * factor + crop_px, b * factor : b * factor + crop_px]
            for x, (a, b) in zip(images, corners, strict=True)
        ]
        return torch.stack(windows), torch.stack(targets)
