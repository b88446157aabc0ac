"""Instance detection by Mask2Former with a Swin-S backbone, trained on COCO instances.

Cheng et al., "Masked-attention mask transformer for universal image segmentation", 2022. The
weights are the authors' own, converted by Hugging Face. Images and outputs are treated like in the
authors' evaluation: shorter side 800 px, longer side at most 1,333 px, the 100 best pairs of query
and class. GenEval's own script uses mmdetection. It has the same rules but other weights, so its
scores are another metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from layton_bench.metrics import load_pretrained, unusable
from layton_bench.tasks.geneval.judging import Instance

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

WEIGHTS: Final = "mask2former-swin-s-coco"

_MEAN: Final = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD: Final = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_DIVISOR: Final = 32
_MAX_DETECTIONS: Final = 100
# Images in one pass of the network. Each needs about a gigabyte.
_PASS_IMAGES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Mask2FormerDetector:
    """A Mask2Former with one output per class name.

    Attributes:
        model: a ``Mask2FormerForUniversalSegmentation`` in eval mode.
        names: class names in the order of its outputs.
        shorter_px, longer_px: an image is resized so that its shorter side is ``shorter_px``, or
            less if its longer side would exceed ``longer_px``.
    """

    model: Any
    names: tuple[str, ...]
    shorter_px: int = 800
    longer_px: int = 1333

    @classmethod
    def load(cls, folder: Path, names: Sequence[str], *, device: str = "cpu") -> Self:
        """Load config.json and model.safetensors from a folder.

        Raises:
            MissingWeightsError: the folder has no such model, or one with other classes.
        """
        from transformers import Mask2FormerForUniversalSegmentation

        model = load_pretrained(
            Mask2FormerForUniversalSegmentation, folder, name=WEIGHTS, device=device
        )
        if model.config.num_labels != len(names):
            reason = f"it has {model.config.num_labels} classes instead of {len(names)}"
            raise unusable(WEIGHTS, folder, reason)
        return cls(model, tuple(names))

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[NDArray[np.uint8]], *, min_score: float = 0.3
    ) -> list[dict[str, list[Instance]]]:
        """Find the objects in each image.

        Args:
            images: uint8 RGB (H, W, 3). Images of the same size run together.
            min_score: detections that cannot score above it are left out. This saves most of the
                time for masks.

        Returns:
            For each image, class name → instances in any order, with boxes in its pixels.
        """
        found: list[dict[str, list[Instance]]] = [{} for _ in images]
        for indices in _passes([image.shape for image in images]):
            inputs = [self._prepared(images[index]) for index in indices]
            output = self.model(pixel_values=_padded(inputs).to(self.model.device))
            for row, index in enumerate(indices):
                found[index] = self._instances(
                    output.class_queries_logits[row].float(),
                    output.masks_queries_logits[row].float(),
                    (inputs[row].shape[1], inputs[row].shape[2]),
                    (images[index].shape[0], images[index].shape[1]),
                    min_score,
                )
        return found

    def _prepared(self, image: NDArray[np.uint8]) -> Tensor:
        """Return an image resized and normalised, float32 (3, h, w)."""
        size = resized(image.shape[0], image.shape[1], self.shorter_px, self.longer_px)
        picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = (np.asarray(picture, np.float32) / 255 - _MEAN) / _STD
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _instances(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        input_size: tuple[int, int],
        image_size: tuple[int, int],
        min_score: float,
    ) -> dict[str, list[Instance]]:
        """Return the instances of one image by class name."""
        candidates = best_pairs(class_logits, min_score)
        masks = upsampled(mask_logits[candidates.queries], input_size, image_size)
        scores = (candidates.scores * mask_scores(masks)).cpu().numpy()
        found: dict[str, list[Instance]] = {}
        for label, score, mask in zip(
            candidates.labels.tolist(), scores, (masks > 0).cpu().numpy(), strict=True
        ):
            if score > np.float32(min_score):
                instance = Instance(box_of(mask), np.float32(score), mask)
                found.setdefault(self.names[label], []).append(instance)
        return found


def _passes(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return the positions of the images of each pass: same shape, and not too many."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    return [
        group[start : start + _PASS_IMAGES]
        for group in by_shape.values()
        for start in range(0, len(group), _PASS_IMAGES)
    ]


def resized(height: int, width: int, shorter_px: int, longer_px: int) -> tuple[int, int]:
    """Return height and width: shorter side ``shorter_px``, longer side at most ``longer_px``.

    Halves are rounded up, like in Detectron2.
    """
    scale = min(shorter_px / min(height, width), longer_px / max(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)


def _padded(inputs: Sequence[Tensor]) -> Tensor:
    """Stack images of one size to (B, 3, H, W); add zeros right and below to multiples of 32."""
    batch = torch.stack(list(inputs))
    height, width = batch.shape[-2:]
    return F.pad(batch, (0, -width % _DIVISOR, 0, -height % _DIVISOR))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of query and class: queries and labels int64 (K,), class scores float32 (K,)."""

    queries: Tensor
    labels: Tensor
    scores: Tensor


def best_pairs(class_logits: Tensor, min_score: float) -> Pairs:
    """Return the 100 best pairs of query and class, without those whose score is too low.

    Args:
        class_logits: (Q, classes + 1). The last one is "no object".
        min_score: pairs whose class score is not above it are left out. A detection's score is its
            class score times a share, so it cannot be higher.
    """
    probabilities = class_logits.softmax(dim=-1)[:, :-1]
    num_classes = probabilities.shape[1]
    scores, flat = probabilities.flatten().topk(min(_MAX_DETECTIONS, probabilities.numel()))
    # a mean of shares can round to slightly above 1
    kept = scores > min_score * (1 - 1e-4)
    return Pairs(flat[kept] // num_classes, flat[kept] % num_classes, scores[kept])


def upsampled(
    mask_logits: Tensor, input_size: tuple[int, int], image_size: tuple[int, int]
) -> Tensor:
    """Resize mask logits (K, h, w) to the pixels of the image (K, H, W), without the padding.

    Args:
        mask_logits: on the network's own grid: a quarter of its padded input.
        input_size: height and width of the input before padding.
        image_size: height and width of the image.
    """
    if not len(mask_logits):
        return mask_logits.new_zeros((0, *image_size))
    padded = [side + -side % _DIVISOR for side in input_size]
    on_input = F.interpolate(mask_logits[None], size=padded, mode="bilinear", align_corners=False)
    cut = on_input[..., : input_size[0], : input_size[1]]
    return F.interpolate(cut, size=image_size, mode="bilinear", align_corners=False)[0]


def mask_scores(mask_logits: Tensor) -> Tensor:
    """Return the mean probability inside each mask, (K,); 0 for an empty one."""
    inside = (mask_logits > 0).float()
    total = (mask_logits.sigmoid() * inside).sum(dim=(1, 2))
    return total / (inside.sum(dim=(1, 2)) + 1e-6)


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return x1, y1, x2, y2 around a mask (H, W), float32 (4,). x2 and y2 are one past the end."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
