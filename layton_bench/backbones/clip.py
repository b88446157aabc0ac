"""CLIP image towers (Radford et al. 2021); tap ``embedding``: the projected image embedding.

``clip-vit-l-14-336`` is fed as CMMD's code does: the largest central square, Pillow's bicubic
resize to 336 px, rounded to uint8. The others take CLIP's own preprocessing: the shorter side to
224 px, then the central square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench.backbones import BackboneSpec
from layton_bench.backbones.pillow import crop_then_resize, resize_then_crop

if TYPE_CHECKING:
    from torch import Tensor

    Resize = Callable[[Tensor, int], Tensor]

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ClipImages:
    """An image tower on uint8 RGB images of any size.

    Args:
        model: a ``CLIPModel`` in eval mode.
        resize: uint8 (B, 3, H, W) and a side → uint8 (B, 3, side, side).
        device: where the model is.
    """

    def __init__(self, model: Any, resize: Resize, *, device: str) -> None:
        self._model = model
        self._resize = resize
        self._device = device

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Tap → float32 features of uint8 RGB images (B, 3, H, W)."""
        import torch

        with torch.inference_mode():
            side: int = self._model.config.vision_config.image_size
            mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in (MEAN, STD))
            x = self._resize(images, side).to(self._device).float() / 255
            tower = self._model.vision_model(pixel_values=(x - mean) / std)
            return {"embedding": self._model.visual_projection(tower.pooler_output)}


def load_clip(folder: Path, *, name: str, device: str) -> Any:
    """The whole model, both towers; raises MissingWeightsError for a folder without it."""
    from transformers import CLIPModel

    from layton_bench.backbones.pretrained import load_pretrained

    return load_pretrained(CLIPModel, folder, name=name, device=device)


def _load(find: Callable[[str], Path], device: str, *, name: str, resize: Resize) -> ClipImages:
    return ClipImages(load_clip(find(name), name=name, device=device), resize, device=device)


SPECS = tuple(
    BackboneSpec(
        name=name,
        taps=("embedding",),
        weights=(name,),
        load=partial(_load, name=name, resize=resize),
    )
    for name, resize in (
        ("clip-vit-l-14-336", crop_then_resize),
        ("clip-vit-l-14", resize_then_crop),
        ("clip-vit-b-32", resize_then_crop),
        ("pickscore", resize_then_crop),
    )
)
