"""Weighted losses between images and their reconstructions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from layton.training.losses import chroma_loss, load_lpips, ms_ssim, pixel_loss
from layton.training.recipe import StrictModel

__all__ = ["PixelTerms", "ReconstructionRecipe"]


class ReconstructionRecipe(StrictModel):
    """Weights of the pixel losses; 0 turns a loss off."""

    l1: NonNegativeFloat = 1.0
    """Factor on the mean absolute difference."""
    l2: NonNegativeFloat = 0.0
    """Factor on the mean squared difference."""
    chroma: NonNegativeFloat = 0.0
    """Factor on the mean squared difference of the colour axes alone, in addition to l1 or l2.
    Brightness varies most, so without it colours are learned late."""
    ms_ssim: NonNegativeFloat = 0.0
    """Factor on 1 − MS-SSIM, which needs no weights."""
    lpips: NonNegativeFloat = 0.0
    """Factor on LPIPS."""
    lpips_net: Literal["alex", "vgg", "squeeze"] = "vgg"
    """Backbone of LPIPS."""
    lpips_weights: Path | None = None
    """Torchvision's weights of that backbone; None lets torchvision download them."""


class PixelTerms(nn.Module):
    """The weighted sum of a recipe's pixel losses, and its terms."""

    def __init__(self, recipe: ReconstructionRecipe, *, with_perceptual: bool = True) -> None:
        super().__init__()
        self._recipe = recipe
        # in a tuple: its frozen weights are neither trained nor saved
        self._lpips: tuple[nn.Module, ...] = ()
        if recipe.lpips and with_perceptual:
            self._lpips = (load_lpips(recipe.lpips_net, recipe.lpips_weights),)

    def forward(self, recon: Tensor, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, 3, H, W) in [-1, 1] → (scalar, its terms to log)."""
        recon, recipe = recon.float(), self._recipe
        terms: dict[str, tuple[float, Tensor]] = {}
        if recipe.l1:
            terms["l1"] = recipe.l1, pixel_loss(recon, images, "l1")
        if recipe.l2:
            terms["l2"] = recipe.l2, pixel_loss(recon, images, "l2")
        if recipe.chroma:
            terms["chroma"] = recipe.chroma, chroma_loss(recon, images)
        if recipe.ms_ssim:
            terms["ms_ssim"] = recipe.ms_ssim, 1.0 - ms_ssim(recon, images)
        for lpips in self._lpips:
            terms["lpips"] = recipe.lpips, lpips.to(recon.device)(recon, images).mean()
        total = recon.new_zeros(())
        for weight, term in terms.values():
            total = total + weight * term
        return total, {name: term.detach() for name, (_, term) in terms.items()}
