"""Similarity of faces: cosine of ArcFace embeddings, original against reconstruction.

Faces are found on the original (RetinaFace, Deng et al. 2020). The same five landmarks align both
images to ArcFace's template of 112 × 112 px (Deng et al. 2019). The networks are those of the
package facexlib, their weights come from the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.pairs.regions import RatioMetric

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.types import ScoredBatch

    Landmarks = NDArray[np.float32]

DETECTOR_WEIGHTS, EMBEDDER_WEIGHTS = "face-retinaface", "face-arcface"
_SIDE_PX = 112
_MIN_CONFIDENCE = 0.97
# Eyes, nose and corners of the mouth on ArcFace's template.
_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
     (70.7299, 92.2041)]
)  # fmt: skip


class FaceReader(Protocol):
    """Finds faces and embeds them."""

    def find(self, image: Image.Image) -> Sequence[Landmarks]:
        """Return both eyes, nose and both corners of the mouth of each face, (5, 2) in pixels."""

    def embed(self, faces: Sequence[Image.Image]) -> NDArray[np.float64]:
        """Return embeddings (n, d) of faces aligned to 112 × 112 px."""


def align(image: Image.Image, landmarks: Landmarks) -> Image.Image:
    """Move, turn and scale a face onto the template, by least squares (Umeyama 1991)."""
    source, target = np.asarray(landmarks, np.float64), _TEMPLATE
    means = source.mean(axis=0), target.mean(axis=0)
    a, b = source - means[0], target - means[1]
    # template → image, as Pillow maps: complex factor Σ āb* / Σ|b|² is rotation and scale in one
    factor = np.vdot(b @ (1, 1j), a @ (1, 1j)) / (b**2).sum()
    c, s = factor.real, factor.imag
    shift = means[0] - np.array([[c, -s], [s, c]]) @ means[1]
    # Pillow samples at pixel centres: output (x + 1/2, y + 1/2)
    data = (c, -s, shift[0], s, c, shift[1])
    return image.transform(
        (_SIDE_PX, _SIDE_PX), Image.Transform.AFFINE, data=data, resample=Image.Resampling.BICUBIC
    )


def compare_faces(
    reader: FaceReader, original: Image.Image, reconstruction: Image.Image
) -> tuple[float, float]:
    """Return the sum of cosines between the faces of both images, and the number of faces."""
    found = reader.find(original)
    if not found:
        return 0.0, 0.0
    faces = [align(image, marks) for image in (original, reconstruction) for marks in found]
    embeddings = reader.embed(faces)
    embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (embeddings[: len(found)] * embeddings[len(found) :]).sum(axis=1)
    return float(cosines.sum()), float(len(found))


class ArcFace:
    """RetinaFace and ArcFace of facexlib.

    Args:
        detector: file of RetinaFace (ResNet-50).
        embedder: file of ArcFace (IR-SE-50).
        device: in torch's notation.
    """

    def __init__(self, detector: Path, embedder: Path, *, device: str) -> None:
        import torch
        from facexlib.detection.retinaface import RetinaFace
        from facexlib.recognition.arcface_arch import Backbone

        from layton_bench.weights import load_state_dict

        with torch.random.fork_rng():
            self._detector: Any = RetinaFace(network_name="resnet50", device=device)
            self._embedder: Any = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
        state = load_state_dict(detector)
        plain = {name.removeprefix("module."): value for name, value in state.items()}
        self._detector.load_state_dict(plain, strict=True)
        self._embedder.load_state_dict(load_state_dict(embedder), strict=True)
        self._detector.eval().to(device)
        self._embedder.eval().to(device)
        self._device = device

    def find(self, image: Image.Image) -> Sequence[Landmarks]:
        """Return landmarks of each face; see ``FaceReader``."""
        import torch

        with torch.inference_mode():
            found = self._detector.detect_faces(np.asarray(image)[:, :, ::-1], _MIN_CONFIDENCE)
        return [face[5:15].reshape(5, 2) for face in found]

    def embed(self, faces: Sequence[Image.Image]) -> NDArray[np.float64]:
        """Return embeddings float64 (n, 512); see ``FaceReader``."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack([np.array(face) for face in faces]))
            x = pixels.permute(0, 3, 1, 2).contiguous().to(self._device).float() / 127.5 - 1
            embeddings: Tensor = self._embedder(x)
            return embeddings.double().cpu().numpy()


def _score(batch: ScoredBatch, *, reader: FaceReader) -> list[tuple[float, float]]:
    return [
        compare_faces(reader, *(Image.fromarray(x.permute(1, 2, 0).cpu().numpy()) for x in pair))
        for pair in zip(batch.paired_references(), batch.candidates, strict=True)
    ]


def _make(context: MetricContext) -> RatioMetric:
    files = context.weights(DETECTOR_WEIGHTS), context.weights(EMBEDDER_WEIGHTS)
    reader = ArcFace(*files, device=context.device)
    score = partial(_score, reader=reader)
    return RatioMetric("face-similarity", score, parts="faces")


SPECS = (
    MetricSpec(
        name="face-similarity",
        label="face similarity",
        direction="higher",
        summary="cosine of ArcFace embeddings of faces, original against reconstruction",
        digits=4,
        weights=(DETECTOR_WEIGHTS, EMBEDDER_WEIGHTS),
        requires={"facexlib": "faces"},
        needs=frozenset({"reference"}),
        signature={"feat": "arcface-ir-se-50", "boxes": "original"},
        make=_make,
    ),
)
