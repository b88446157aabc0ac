"""Backbones: networks that turn images into named features, each run once a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Backbone(Protocol):
    """A network in eval mode; states its own input range and resize."""

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Name of tap → float32 (B, D) or (B, D, h, w), of uint8 RGB images (B, 3, H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A backbone's name and how to load it.

    Attributes:
        name: as metrics name it (``inception-tf1``).
        taps: the features it returns.
        weights: names in the weights registry; their digests are part of the feature cache's key.
        load: (weights finder, device) → backbone.
        version: raised whenever the same image and weights give other features.
    """

    name: str
    taps: tuple[str, ...]
    weights: tuple[str, ...]
    load: Callable[[Callable[[str], Path], str], Backbone]
    version: int = 1
