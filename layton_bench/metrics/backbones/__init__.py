"""Backbones: networks that compute named features of images. Each runs once per batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Backbone(Protocol):
    """A network in eval mode. It does its own resize and scaling."""

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return tap → float32 (B, D) or (B, D, h, w), for uint8 RGB images (B, 3, H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A backbone's name and how to load it.

    Attributes:
        name: the name that metrics use (``inception-tf1``).
        taps: the features it returns.
        weights: names in the weights registry. Their digests are in the key of the feature cache.
        load: (weights finder, device) → backbone.
        version: must be raised when the same image and weights give other features.
    """

    name: str
    taps: tuple[str, ...]
    weights: tuple[str, ...]
    load: Callable[[Callable[[str], Path], str], Backbone]
    version: int = 1
