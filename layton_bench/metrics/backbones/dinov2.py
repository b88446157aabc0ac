"""DINOv2 ViT-L/14 (Oquab et al. 2023), with the input of the evaluation code of Stein et al. 2023.

Pillow's bicubic resize of both sides to 224 px, rounded to uint8; ImageNet's mean and deviation;
tap ``cls``: the normalised class token, (B, 1024). Position embeddings of the 37 x 37 grid of
training are resized to 16 x 16 as DINOv2's own code does, by the factor 16.1/37 without
antialiasing; the transformers library takes 16/37.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.backbones.pillow import squash

if TYPE_CHECKING:
    from torch import Tensor

NAME = "dinov2-vit-l-14"
_SIDE_PX = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Dinov2:
    """The network on uint8 RGB images of any size.

    Args:
        model: a ``Dinov2Model`` in eval mode.
        device: where it is.
    """

    def __init__(self, model: Any, *, device: str) -> None:
        self._model = model
        self._device = device

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Tap → float32 features of uint8 RGB images (B, 3, H, W)."""
        import torch

        with torch.inference_mode():
            mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in (_MEAN, _STD))
            x = squash(images, _SIDE_PX).to(self._device).float() / 255
            out = self._model(pixel_values=(x - mean) / std)
            return {"cls": out.last_hidden_state[:, 0]}


def _load(find: Callable[[str], Path], device: str) -> Dinov2:
    from transformers import Dinov2Model

    from layton_bench.metrics.backbones.pretrained import load_pretrained

    model = load_pretrained(Dinov2Model, find(NAME), name=NAME, device=device)
    side = _SIDE_PX // model.config.patch_size
    embeddings = model.embeddings
    embeddings.position_embeddings.data = positions_at(embeddings.position_embeddings.data, side)
    return Dinov2(model, device=device)


def positions_at(embeddings: Tensor, side: int) -> Tensor:
    """Position embeddings (1, 1 + s², C) of a square grid, resized to (1, 1 + side², C)."""
    import torch
    from torch.nn import functional as F

    token, grid = embeddings[:, :1], embeddings[:, 1:]
    trained = int(grid.shape[1] ** 0.5)
    if trained == side:
        return embeddings
    square = grid.reshape(1, trained, trained, -1).permute(0, 3, 1, 2).float()
    factor = (side + 0.1) / trained  # the offset keeps the size from being rounded down
    resized = F.interpolate(square, scale_factor=(factor, factor), mode="bicubic")
    flat = resized.permute(0, 2, 3, 1).reshape(1, side * side, -1)
    return torch.cat((token, flat.to(grid.dtype)), dim=1)


SPECS = (BackboneSpec(name=NAME, taps=("cls",), weights=(NAME,), load=_load),)
