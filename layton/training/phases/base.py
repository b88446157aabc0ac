"""What every phase offers the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from layton.training.recipe import RunRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layton.training.data.stream import Batch

__all__ = ["Outcome", "Phase", "PhaseRecipe", "images_of", "latents_of"]


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What one forward pass of a phase returns.

    Attributes:
        loss: scalar to minimise, a mean over the samples of the batch.
        parts: its terms and other numbers to log, scalars.
        fake: images (B, 3, H, W) that the adversary is to tell from the batch's own.
    """

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    fake: Tensor | None = None


class Phase(nn.Module, ABC):
    """The module that a phase trains: its parameters that require a gradient.

    Attributes:
        adversary: a discriminator trained beside it, on the fake images of each outcome; kept out
            of this module's own parameters.
        averaged: names of parameters that move without a gradient, which checkpoints keep too.
    """

    adversary: nn.Module | None = None
    averaged: frozenset[str] = frozenset()

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> Outcome:
        """Losses of one batch at an optimiser step; random draws come from batch["seeds"]."""

    @abstractmethod
    def previews(self, batch: Batch) -> Tensor:
        """Rows of images (R, B, 3, H, W) in [-1, 1]: the samples, what became of them."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the trained model where the next phase and users read it."""

    def meta_batch(self, batch_size: int, size_px: int) -> Batch:
        """A batch without storage, as the phase's sources would give it, for counting memory."""
        return {
            "seeds": torch.empty(batch_size, dtype=torch.int64, device="meta"),
            "images": torch.empty(batch_size, 3, size_px, size_px, device="meta"),
            "captions": [""] * batch_size,
        }

    def after_step(self, batch: Batch, step: int) -> None:
        """Called with an optimiser step's last batch, after the step."""

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that the optimiser moves."""
        return (p for p in self.parameters() if p.requires_grad)

    def lr_scales(self) -> dict[nn.Parameter, float]:
        """What some parameters' learning rates are multiplied with; 1 for those left out."""
        return {}


class PhaseRecipe(RunRecipe, ABC):
    """A recipe that can build its phase."""

    @abstractmethod
    def build(self, *, for_sizes: bool = False) -> Phase:
        """The phase with its initial weights.

        Args:
            for_sizes: called on the meta device to count: files of weights are not read, their
                configurations are.

        Raises:
            LaytonError: a part that the phase starts from is missing or does not fit.
        """


def images_of(batch: Batch) -> Tensor:
    """The batch's images (B, 3, H, W).

    Raises:
        DataError: the sources hold none.
    """
    return _part(batch, "images", "Use sources with images.")


def latents_of(batch: Batch) -> Tensor:
    """The batch's scaled latents (B, C, h, w).

    Raises:
        DataError: the sources hold none.
    """
    return _part(batch, "latents", "Run `layton extract` with a VAE.")


def _part(batch: Batch, name: str, remedy: str) -> Tensor:
    from layton.training.errors import DataError

    if name not in batch:
        raise DataError("data.sources", f"hold no {name}", remedy)
    tensor: Tensor = batch[name]
    return tensor
