"""Phase 1 of Layton, alignment: only the ControlNet copy learns to read the codes.

L_DF = E‖f_θ(z_t, C, t) − ε‖² (arXiv 2503.08377), with the encoder, the codebook, the U-Net and the
VAE frozen. A base that predicts v has v in ε's place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F

from layton.tokenizer import TokenizerConfig
from layton.training.data.seeds import derive, sample_timesteps
from layton.training.phases.base import Outcome, PhaseRecipe
from layton.training.phases.decoder import DecoderPhase, tokenizer_from_parts

if TYPE_CHECKING:
    from layton.tokenizer import Tokenizer
    from layton.training.data.stream import Batch

__all__ = ["AlignmentPhase", "Recipe"]


class Recipe(PhaseRecipe):
    """Recipe of phase `alignment`."""

    phase: Literal["alignment"]
    """Which phase."""
    base: Path
    """A diffusers folder with `unet` and `vae`: SDXL, or what phase `diffusion` exports."""
    vq: Path
    """A VQ tokenizer: LlamaGen's VQ-16, or what phase `vq` exports."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """All other settings: encoder, image sides, sampler, schedule."""
    init: Path | None = None
    """A folder of an earlier alignment to continue, instead of a fresh copy."""
    train_unet: bool = False
    """Train the U-Net too; useful for a very small base."""

    def build(self, *, for_sizes: bool = False) -> AlignmentPhase:
        """See `PhaseRecipe.build`."""
        from layton.training.phases.decoder import open_tokenizer

        if self.init is not None:
            tokenizer = open_tokenizer(self.init, for_sizes=for_sizes)
        else:
            tokenizer = tokenizer_from_parts(
                self.tokenizer,
                base=self.base,
                vq=self.vq,
                seed=derive(self.seed, "condition embedding"),
                for_sizes=for_sizes,
            )
        return AlignmentPhase(self, tokenizer)


class AlignmentPhase(DecoderPhase):
    """The copy, its zero convolutions and the condition embedding train."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer, gradient_checkpointing=recipe.gradient_checkpointing)
        tokenizer.decoder.controlnet.requires_grad_(True)
        if recipe.train_unet:
            tokenizer.decoder.unet.requires_grad_(True)

    def forward(self, batch: Batch, step: int) -> Outcome:  # noqa: ARG002 no stage depends on it
        """Predict the noise of latents at a random timestep; see `Phase.forward`."""
        schedule = self.tokenizer.schedule
        x0 = self.latents(batch)
        eps = self.noise(batch, x0.shape, purpose="noise")
        timesteps = sample_timesteps(batch["seeds"], 0, len(schedule), purpose="timestep")
        embedding = self.tokenizer.decoder.embed(self.quantized(batch), (x0.shape[2], x0.shape[3]))
        predict = self.predictor(embedding, self.size_px(x0))
        output = predict(schedule.add_noise(x0, eps, timesteps), timesteps)
        return Outcome(loss=F.mse_loss(output, schedule.target(x0, eps, timesteps)))
