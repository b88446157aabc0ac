"""The VQ tokenizer from images alone: encoder, codebook, and a decoder that trains them.

The losses are VQGAN's: reconstruction, perceptual, adversarial, codebook and commitment (Esser et
al., arXiv 2012.09841). The codebook is l2-normalised, as in LlamaGen. Layton keeps the encoder and
the codebook. With the convolutional decoder, the whole is a LlamaGen-style tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from layton.tokenizer import VQ_16, Quantized, ViTConfig, VQConfig, VQModel, write_vq
from layton.training.codebook import EMACodebook
from layton.training.data.seeds import derive
from layton.training.discriminator import PatchDiscriminator
from layton.training.losses import code_entropy, codebook_losses, generator_hinge
from layton.training.phases.base import Outcome, Phase, PhaseRecipe, images_of
from layton.training.recipe import StrictModel
from layton.training.reconstruction import PixelTerms, ReconstructionRecipe
from layton.training.start import fit_components, leading_components
from layton.weights import load_strict, read_state

if TYPE_CHECKING:
    from layton.training.data.stream import Batch

__all__ = ["AdversaryRecipe", "CodebookRecipe", "Recipe", "VQPhase"]


class AdversaryRecipe(StrictModel):
    """A patch discriminator beside the tokenizer."""

    weight: NonNegativeFloat = 0.5
    """Factor on the adversarial loss."""
    start_step: NonNegativeInt = 0
    """Step from which it trains and counts."""
    channels: PositiveInt = 64
    """Width of its first layer."""
    num_layers: PositiveInt = 3
    """Strided layers."""


class CodebookRecipe(StrictModel):
    """How the codebook learns."""

    update: Literal["gradient", "ema"] = "gradient"
    """By the codebook loss, or as a moving average of the vectors assigned to each code."""
    ema_decay: float = Field(default=0.99, gt=0.0, lt=1.0)
    """Decay of that average."""
    commitment: NonNegativeFloat = 0.25
    """β, factor on the commitment loss."""
    weight: NonNegativeFloat = 1.0
    """Factor on codebook and commitment loss together."""
    decoder_first: NonNegativeInt = 0
    """Steps in which only the decoder is trained. The encoder starts at the pictures' principal
    components, and an untrained decoder would pull it away from them."""
    quantize_from: NonNegativeInt = 0
    """Step from which vectors are quantised. Before it, the decoder sees the encoder's own output:
    an untrained codebook would disturb a fresh encoder."""
    revive_every: PositiveInt | None = 100
    """Steps between moves of unused codes onto encoder outputs. The first move, at
    `quantize_from`, starts the codebook from data. None: codes are never moved."""
    window: PositiveInt = 65536
    """Number of recent codes; a code that is not among them counts as unused."""


class Recipe(PhaseRecipe):
    """Recipe of phase `vq`."""

    phase: Literal["vq"]
    """Which phase."""
    encoder: VQConfig | ViTConfig = Field(default=VQ_16, discriminator="kind")
    """Sizes of the encoder, the codebook and the mirrored decoder."""
    init: Path | None = None
    """A VQ checkpoint to start from."""
    reconstruction: ReconstructionRecipe = ReconstructionRecipe()
    """Losses between image and reconstruction."""
    codebook: CodebookRecipe = CodebookRecipe()
    """How the codebook learns."""
    adversary: AdversaryRecipe | None = None
    """A discriminator; none if absent."""

    def build(self, *, for_sizes: bool = False) -> VQPhase:
        """See `PhaseRecipe.build`."""
        phase = VQPhase(self, with_perceptual=not for_sizes)
        if self.init is not None and not for_sizes:
            load_strict(phase.model, read_state(self.init), source=str(self.init))
        return phase


class VQPhase(Phase):
    """A VQ tokenizer and its losses."""

    def __init__(self, recipe: Recipe, *, with_perceptual: bool = True) -> None:
        super().__init__()
        self._recipe = recipe
        self.model = VQModel(recipe.encoder, window=recipe.codebook.window)
        self.model.quantize.gather_codes = _of_all_processes
        # code vectors have norm 1, or nearly; these weights give features of variance 1
        nn.init.normal_(self.model.post_quant_conv.weight)
        self._average = None
        if recipe.codebook.update == "ema":
            self.model.quantize.embedding.weight.requires_grad_(False)
            self._average = EMACodebook(self.model.quantize, decay=recipe.codebook.ema_decay)
            self.averaged = frozenset({"model.quantize.embedding.weight"})
        self._terms = PixelTerms(recipe.reconstruction, with_perceptual=with_perceptual)
        if recipe.adversary is not None:
            discriminator = PatchDiscriminator(
                recipe.adversary.channels, recipe.adversary.num_layers
            )
            # not registered: another optimiser trains its parameters
            object.__setattr__(self, "adversary", discriminator)

    def forward(self, batch: Batch, step: int) -> Outcome:
        """Reconstruct the images; see `Phase.forward`."""
        images, book = images_of(batch), self._recipe.codebook
        if step == 0 and self.training and self._recipe.init is None:
            self._start(images)
        z = self.model.features(images)
        if step < book.decoder_first:
            # gradients of 0, because all processes must have the same gradients
            z = z.detach() + 0.0 * z
        if step < book.quantize_from:
            recon = self.model.decode_quantized(self.model.quantize.compared(z))
            loss, parts = self._terms(recon, images)
            if self._average is None:  # likewise
                loss = loss + 0.0 * self.model.quantize.embedding.weight.sum()
        else:
            quantized = self._quantized(z, step)
            recon = self.model.decode_quantized(quantized.quantized)
            loss, parts = self._terms(recon, images)
            codebook, commitment = codebook_losses(quantized)
            loss = loss + book.weight * book.commitment * commitment
            if self._average is None:
                loss = loss + book.weight * codebook
            parts["commitment"] = commitment.detach()
            if self.training:
                parts["bits"] = code_entropy(quantized.codes, self.model.quantize.codebook_size)
        fake = None
        if self.adversary is not None and self._fights(step):
            adversarial = self._against(recon)
            loss = loss + self._recipe.adversary.weight * adversarial  # type: ignore[union-attr]
            parts["adversarial"] = adversarial.detach()
            fake = recon.detach()
        return Outcome(loss=loss, parts=parts, fake=fake)

    @torch.no_grad()
    def previews(self, batch: Batch) -> Tensor:
        """Images and their reconstructions."""
        images = images_of(batch)
        recon = self.model.decode(self.model.encode(images))
        return torch.stack((images, recon.float().clamp(-1, 1)))

    def export(self, folder: Path) -> None:
        """Write a folder that `read_vq` and `from_parts(vq=folder)` read."""
        write_vq(self.model, folder)

    def _quantized(self, z: Tensor, step: int) -> Quantized:
        book = self._recipe.codebook
        since = step - book.quantize_from
        if self.training and book.revive_every is not None and since % book.revive_every == 0:
            is_start = since == 0 and self._recipe.init is None
            if is_start or since > 0:
                self._revive(z, step)
        quantized: Quantized = self.model.quantize(z)
        if self._average is not None and self.training:
            self._average.update(quantized)
        return quantized

    def _revive(self, z: Tensor, step: int) -> None:
        dead = self.model.quantize.dead_codes()
        # all processes see all vectors, so all move the same codes to the same places
        everyone = _of_all_processes(self.model.quantize.compared(z.detach()).contiguous())
        generator = torch.Generator().manual_seed(derive(self._recipe.seed, "revive", step))
        self.model.quantize.revive(everyone, generator=generator)
        if self._average is not None:
            self._average.restart(dead)

    @torch.no_grad()
    def _start(self, images: Tensor) -> None:
        """Start the code vectors at the pictures' principal components; see `training.start`."""
        everyone = _of_all_processes(images.contiguous())
        features = self.model.encoder(everyone).float().movedim(1, -1).flatten(0, -2)
        patch = self._recipe.encoder.downsample_factor
        components = leading_components(everyone, patch, self.model.quant_conv.out_channels)
        weight, bias = fit_components(features, components)
        self.model.quant_conv.weight.copy_(weight[:, :, None, None])
        assert self.model.quant_conv.bias is not None
        self.model.quant_conv.bias.copy_(bias)

    def _fights(self, step: int) -> bool:
        adversary = self._recipe.adversary
        return adversary is not None and step >= adversary.start_step and self.training

    def _against(self, recon: Tensor) -> Tensor:
        assert isinstance(self.adversary, PatchDiscriminator)
        self.adversary.requires_grad_(False)
        loss = generator_hinge(self.adversary.logits(recon))
        self.adversary.requires_grad_(True)
        return loss


def _of_all_processes(tensor: Tensor) -> Tensor:
    from accelerate.utils import gather

    gathered: Tensor = gather(tensor)
    return gathered
