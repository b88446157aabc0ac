"""The KL autoencoder of the latent space, from images alone (Rombach et al., arXiv 2112.10752)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from diffusers import AutoencoderKL
from pydantic import NonNegativeFloat
from torch import Tensor

from layton.tokenizer import VAEConfig, read_part
from layton.training.data.seeds import sample_noise
from layton.training.losses import kl_divergence
from layton.training.phases.base import Outcome, Phase, PhaseRecipe, images_of
from layton.training.reconstruction import PixelTerms, ReconstructionRecipe
from layton.training.start import close_branches, fit_components, leading_components
from layton.weights import load_strict

if TYPE_CHECKING:
    from layton.training.data.stream import Batch

__all__ = ["Recipe", "VAEPhase"]

_SCALE_DECAY = 0.99
_START_LOGVAR = -6.0


class Recipe(PhaseRecipe):
    """Recipe of phase `vae`."""

    phase: Literal["vae"]
    """Which phase."""
    vae: VAEConfig = VAEConfig()
    """Sizes; training measures the scaling factor and writes it at the end."""
    init: Path | None = None
    """A diffusers folder with a `vae` of these sizes to start from."""
    kl_weight: NonNegativeFloat = 1e-6
    """Factor on the KL divergence, summed over an image's latents."""
    reconstruction: ReconstructionRecipe = ReconstructionRecipe()
    """Losses between image and reconstruction."""

    def build(self, *, for_sizes: bool = False) -> VAEPhase:
        """See `PhaseRecipe.build`."""
        phase = VAEPhase(self, with_perceptual=not for_sizes)
        if self.init is not None and not for_sizes:
            start = read_part(self.init, "vae")
            load_strict(phase.vae, start.state_dict(), source=str(self.init))
        return phase


class VAEPhase(Phase):
    """AutoencoderKL and its losses."""

    latent_std: Tensor

    def __init__(self, recipe: Recipe, *, with_perceptual: bool = True) -> None:
        super().__init__()
        self._recipe = recipe
        size_px = max(stage.size_px for stage in recipe.stages)
        build = cast(Any, AutoencoderKL)
        self.vae = build(**recipe.vae.to_diffusers(), sample_size=size_px)
        close_branches(self.vae)
        # a posterior with little noise: at variance 1 the decoder would first learn to ignore it
        with torch.no_grad():
            self.vae.quant_conv.bias[recipe.vae.latent_channels :] = _START_LOGVAR
        self._terms = PixelTerms(recipe.reconstruction, with_perceptual=with_perceptual)
        self.register_buffer("latent_std", torch.zeros(()))

    def forward(self, batch: Batch, step: int) -> Outcome:
        """Reconstruct the images through a sample of their latents; see `Phase.forward`."""
        images = images_of(batch)
        if step == 0 and self.training and self._recipe.init is None:
            self._start(images)
        posterior = self.vae.encode(images).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        noise = sample_noise(batch["seeds"], mean.shape[1:], purpose="posterior")
        latents = mean + (0.5 * logvar).exp() * noise
        recon = self.vae.decode(latents, return_dict=False)[0]
        loss, parts = self._terms(recon, images)
        divergence = kl_divergence(mean, logvar)
        if self.training:
            self._measure(latents.detach(), step)
        parts |= {"kl": divergence.detach(), "latent_std": self.latent_std.clone()}
        return Outcome(loss=loss + self._recipe.kl_weight * divergence, parts=parts)

    @torch.no_grad()
    def previews(self, batch: Batch) -> Tensor:
        """Images and their reconstructions from the latents' means."""
        images = images_of(batch)
        mean = self.vae.encode(images).latent_dist.mode()
        recon = self.vae.decode(mean, return_dict=False)[0]
        return torch.stack((images, recon.float().clamp(-1, 1)))

    def export(self, folder: Path) -> None:
        """Write a diffusers folder `vae`, whose scaling factor gives latents unit variance."""
        if self.latent_std > 0:
            self.vae.register_to_config(scaling_factor=1.0 / float(self.latent_std))
        self.vae.save_pretrained(folder / "vae")

    @torch.no_grad()
    def _start(self, images: Tensor) -> None:
        """Start the latents at the pictures' principal components; see `training.start`."""
        from accelerate.utils import gather

        everyone, seen = gather(images.contiguous()), []
        last = self.vae.encoder.conv_out
        hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        self.vae.encode(everyone)
        hook.remove()
        channels = self._recipe.vae.latent_channels
        patch = self._recipe.vae.downsample_factor
        features = seen[0].float().movedim(1, -1).flatten(0, -2)
        components = leading_components(everyone, patch, channels)
        weight, bias = fit_components(features, components)
        last.weight.zero_()
        last.bias.zero_()
        last.weight[:channels, :, 1, 1] = weight  # the middle of the 3 × 3 kernel
        last.bias[:channels] = bias
        self.vae.quant_conv.weight.copy_(torch.eye(2 * channels)[:, :, None, None])
        self.vae.quant_conv.bias[:channels] = 0.0

    def _measure(self, latents: Tensor, step: int) -> None:
        from accelerate.utils import reduce

        moments = torch.stack((latents.mean(), latents.square().mean()))
        mean, square = reduce(moments, "mean")
        std = (square - mean.square()).clamp_min(0).sqrt()
        self.latent_std.lerp_(std, 1.0 if step == 0 else 1.0 - _SCALE_DECAY)
