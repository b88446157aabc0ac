"""The interface of every phase to the engine."""

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

__all__ = ["Outcome", "Phase", "PhaseRecipe", "images_of"]


@dataclass(kw_only=True, slots=True)
class Outcome:
    """The result of one forward pass.

    Attributes:
        loss: scalar to minimise, a mean over the samples of the batch.
        parts: its terms and other numbers to log, scalars.
        fake: images (B, 3, H, W) that the adversary must distinguish from the batch's own.
    """

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    fake: Tensor | None = None


class Phase(nn.Module, ABC):
    """The module that a phase trains: its parameters that require a gradient.

    Attributes:
        adversary: a discriminator trained beside it, on the fake images of each outcome. Its
            parameters are not among this module's.
        averaged: names of parameters that change without a gradient; checkpoints keep them too.
    """

    adversary: nn.Module | None = None
    averaged: frozenset[str] = frozenset()

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> Outcome:
        """Losses of one batch at an optimiser step; random draws come from batch["seeds"]."""

    @abstractmethod
    def previews(self, batch: Batch) -> Tensor:
        """Return rows of images (R, B, 3, H, W) in [-1, 1]: the samples, and their results."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the trained model for the next phase and for users."""

    def meta_batch(self, batch_size: int, size_px: int) -> Batch:
        """Return a batch without storage, shaped like the sources' batches, for counting memory."""
        return {
            "seeds": torch.empty(batch_size, dtype=torch.int64, device="meta"),
            "images": torch.empty(batch_size, 3, size_px, size_px, device="meta"),
            "captions": [""] * batch_size,
        }

    def after_step(self, batch: Batch, step: int) -> None:
        """Called with an optimiser step's last batch, after the step."""

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters that the optimiser changes."""
        return (p for p in self.parameters() if p.requires_grad)

    def lr_scales(self) -> dict[nn.Parameter, float]:
        """Return factors on the learning rates of some parameters; the others have 1."""
        return {}


class PhaseRecipe(RunRecipe, ABC):
    """A recipe that can build its phase."""

    @abstractmethod
    def build(self, *, for_sizes: bool = False) -> Phase:
        """The phase with its initial weights.

        Args:
            for_sizes: count on the meta device: configurations are read, files of weights are not.

        Raises:
            LaytonError: a file that the phase needs is missing or does not fit.
        """


def images_of(batch: Batch) -> Tensor:
    """Return the batch's images (B, 3, H, W).

    Raises:
        DataError: the sources hold none.
    """
    from layton.training.errors import DataError

    if "images" not in batch:
        raise DataError("data.sources", "hold no images", "Use sources with images.")
    images: Tensor = batch["images"]
    return images
