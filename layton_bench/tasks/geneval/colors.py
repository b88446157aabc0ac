"""Colours of detected objects by CLIP ViT-L/14, zero-shot on masked crops, like GenEval.

A crop is the object's box, with everything outside its mask painted #999. A colour's text feature
is the normalised mean of three normalised templates. The colour with the largest cosine wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch
from PIL import Image

from layton_bench.metrics import MEAN, STD, load_clip, require_files
from layton_bench.tasks.geneval.judging import Instance
from layton_bench.tasks.geneval.prompts import COLORS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

WEIGHTS: Final = "clip-vit-l-14"

BACKGROUND: Final = (0x99, 0x99, 0x99)
TEMPLATES: Final = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
# Crops in one pass of the network.
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Crop:
    """An object whose colour is needed: its class name and its masked crop."""

    name: str
    picture: Image.Image


@dataclass(frozen=True, slots=True, eq=False)
class ClipColors:
    """Returns the colours of crops.

    Attributes:
        model: a ``CLIPModel`` in eval mode.
        tokenizer: its ``CLIPTokenizer``.
    """

    model: Any
    tokenizer: Any
    _text_features: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Load model and tokenizer from a folder.

        Raises:
            MissingWeightsError: the folder has no CLIP model, or no tokenizer.
        """
        from transformers import CLIPTokenizer

        require_files(folder, ("vocab.json", "merges.txt"), name=WEIGHTS)
        model = load_clip(folder, name=WEIGHTS, device=device)
        return cls(model, CLIPTokenizer.from_pretrained(folder, local_files_only=True))

    @torch.inference_mode()
    def __call__(self, crops: Sequence[Crop]) -> list[str]:
        """Return the colour of each crop, one of GenEval's ten."""
        colors: list[str] = []
        for start in range(0, len(crops), _BATCH):
            part = crops[start : start + _BATCH]
            features = self._image_features([crop.picture for crop in part])
            for crop, feature in zip(part, features, strict=True):
                colors.append(COLORS[int((self._texts(crop.name) @ feature).argmax())])
        return colors

    def _image_features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return normalised features float32 (B, D)."""
        size_px = self.model.config.vision_config.image_size
        pixels = torch.stack([prepared(picture, size_px) for picture in pictures])
        pooled = self.model.vision_model(pixels.to(self.model.device)).pooler_output
        return _unit(self.model.visual_projection(pooled).float())

    def _texts(self, name: str) -> Tensor:
        """Return features of the ten colours for a class, float32 (10, D), computed once."""
        if name not in self._text_features:
            texts = [t.format(color=color, name=name) for color in COLORS for t in TEMPLATES]
            # CLIP was trained at this length; tokens after the end token have no effect
            tokens = self.tokenizer(
                texts,
                padding="max_length",
                truncation=True,
                max_length=self.model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            )
            pooled = self.model.text_model(tokens.input_ids.to(self.model.device)).pooler_output
            features = _unit(self.model.text_projection(pooled).float())
            means = features.reshape(len(COLORS), len(TEMPLATES), -1).mean(dim=1)
            self._text_features[name] = _unit(means)
        return self._text_features[name]


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


def masked_crop(image: NDArray[np.uint8], instance: Instance) -> Image.Image:
    """Cut an instance's box out of uint8 RGB (H, W, 3); paint #999 outside its mask."""
    shown = image
    if instance.mask is not None:
        shown = np.where(instance.mask[..., None], image, np.array(BACKGROUND, np.uint8))
    # Python's rounding, half to even, is that of Pillow's crop
    left, top, right, bottom = (round(float(side)) for side in instance.box)
    return Image.fromarray(shown).crop((left, top, right, bottom))


def prepared(picture: Image.Image, size_px: int) -> Tensor:
    """Return CLIP's input float32 (3, size_px, size_px): bicubic, centre crop, normalised."""
    from torchvision.transforms import InterpolationMode, functional as transform

    small = transform.resize(picture, [size_px], interpolation=InterpolationMode.BICUBIC)
    square = transform.center_crop(small, [size_px, size_px])
    tensor: Tensor = transform.normalize(transform.to_tensor(square), MEAN, STD)
    return tensor
