"""Train an acceleration LoRA by latent consistency distillation.

LCM (Luo et al., arXiv 2310.04378) without guidance: the student's x0 at t must equal its own x0,
gradients stopped, at the earlier timestep s. The teacher's DDIM step leads from t to s. Use this
phase for a base without a HyperSD or TLCM LoRA.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from layton.tokenizer import boundary_scalings
from layton.training.data.seeds import sample_timesteps
from layton.training.lora import LoRARecipe, add_lora, lora_state, merged_state, without_lora
from layton.training.phases.base import Outcome, PhaseRecipe
from layton.training.phases.decoder import DecoderPhase, open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from layton.tokenizer import Tokenizer
    from layton.training.data.stream import Batch

__all__ = ["DistillationPhase", "Recipe", "pseudo_huber"]

LORA_FILE = "pytorch_lora_weights.safetensors"  # diffusers' name


class Recipe(PhaseRecipe):
    """Recipe of phase `distillation`."""

    phase: Literal["distillation"]
    """Which phase."""
    tokenizer: Path
    """The teacher: a tokenizer folder, as phase `alignment` exports it."""
    conditioned: bool = True
    """Distil the decoder with its codes; false distils the bare U-Net, as HyperSD and TLCM were."""
    lora: LoRARecipe = LoRARecipe()
    """The student's addition to the U-Net."""
    steps: PositiveInt = 1
    """Steps of the exported sampler."""
    teacher_steps: PositiveInt = 50
    """DDIM steps of the teacher over the whole schedule."""
    huber: PositiveFloat = 0.001
    """c of the pseudo-Huber distance √(d² + c²) − c."""

    def build(self, *, for_sizes: bool = False) -> DistillationPhase:
        """See `PhaseRecipe.build`."""
        tokenizer = open_tokenizer(self.tokenizer, steps=self.steps, for_sizes=for_sizes)
        return DistillationPhase(self, tokenizer)


class DistillationPhase(DecoderPhase):
    """Only the LoRA trains; without it the U-Net is the teacher."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer, gradient_checkpointing=recipe.gradient_checkpointing)
        self._recipe = recipe
        add_lora(tokenizer.decoder.unet, recipe.lora)

    def forward(self, batch: Batch, step: int) -> Outcome:  # noqa: ARG002 no stage depends on it
        """Distance between the student's x0 at t and at s; see `Phase.forward`."""
        schedule, recipe = self.tokenizer.schedule, self._recipe
        x0, seeds = self.latents(batch), batch["seeds"]
        stride = len(schedule) // recipe.teacher_steps
        numbers = sample_timesteps(seeds, 1, recipe.teacher_steps + 1, purpose="timestep")
        t = numbers * stride - 1
        s = (t - stride).clamp_min(0)
        x_t = schedule.add_noise(x0, self.noise(batch, x0.shape, purpose="noise"), t)
        predict = self._predictor(batch, x0)
        student = self._consistent(predict, x_t, t)
        with torch.no_grad():
            with without_lora(self.tokenizer.decoder.unet):
                output = predict(x_t, t)
            estimate, eps = (
                schedule.predict_x0(x_t, output, t),
                schedule.predict_eps(x_t, output, t),
            )
            target = self._consistent(predict, schedule.add_noise(estimate, eps, s), s)
        return Outcome(loss=pseudo_huber(student, target, recipe.huber))

    def export(self, folder: Path) -> None:
        """Write the tokenizer with the LoRA merged, and the LoRA alone beside it."""
        from safetensors.torch import save_file

        unet = self.tokenizer.decoder.unet
        self.tokenizer.save_pretrained(folder, unet=merged_state(unet))
        state = {f"unet.{k}": v.contiguous() for k, v in lora_state(unet).items()}
        scale = self._recipe.lora.alpha / self._recipe.lora.rank
        # readers take alpha to be the rank unless told: the factor goes into B
        state = {k: v * scale if ".lora_B." in k else v for k, v in state.items()}
        save_file(state, folder / LORA_FILE)

    def _predictor(self, batch: Batch, x0: Tensor) -> Callable[[Tensor, Tensor | int], Tensor]:
        decoder, size_px = self.tokenizer.decoder, self.size_px(x0)
        if self._recipe.conditioned:
            embedding = decoder.embed(self.quantized(batch), (x0.shape[2], x0.shape[3]))
            return self.predictor(embedding.detach(), size_px)
        bare = x0.new_zeros(len(x0), decoder.config.block_out_channels[0], *x0.shape[2:])

        def predict(x_t: Tensor, timesteps: Tensor | int) -> Tensor:
            output: Tensor = decoder(
                x_t, timesteps, bare, size_px=(size_px, size_px), cond_scale=0.0
            )
            return output.float()

        return predict

    def _consistent(
        self, predict: Callable[[Tensor, Tensor | int], Tensor], x_t: Tensor, t: Tensor
    ) -> Tensor:
        """f(x, t) = c_skip(t) · x + c_out(t) · x0(x, t)."""
        c_skip, c_out = (c.view(-1, 1, 1, 1) for c in boundary_scalings(t))
        x0 = self.tokenizer.schedule.predict_x0(x_t, predict(x_t, t), t)
        return c_skip * x_t + c_out * x0


def pseudo_huber(x: Tensor, target: Tensor, c: float) -> Tensor:
    """Mean of √((x − target)² + c²) − c."""
    return ((x - target).square() + c * c).sqrt().mean() - c
