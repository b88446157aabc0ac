"""Alignment, similarity of faces, and the networks that read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from seeded_weights import seeded

from layton_bench.metrics.pairs import faces


def landmarks(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (faces._TEMPLATE @ turn.T * scale + shift).astype(np.float32)


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.5, 0.0), (2.0, 0.4), (0.8, -0.7)])
def test_alignment_undoes_a_similarity(scale: float, angle: float) -> None:
    """A smooth pattern drawn in the template's frame, seen through a similarity, comes back."""
    shift = (130.0, 90.0)
    y, x = np.mgrid[0:400, 0:400] + 0.5
    c, s = np.cos(-angle) / scale, np.sin(-angle) / scale
    u, v = c * (x - shift[0]) - s * (y - shift[1]), s * (x - shift[0]) + c * (y - shift[1])
    seen = 127 + 60 * np.sin(u / 15) + 60 * np.cos(v / 20)
    image = Image.fromarray(np.repeat(seen[..., None], 3, axis=2).astype(np.uint8))
    found = np.array(faces.align(image, landmarks(scale, angle, shift)), np.float64)[..., 0]
    ty, tx = np.mgrid[0:112, 0:112] + 0.5
    wanted = 127 + 60 * np.sin(tx / 15) + 60 * np.cos(ty / 20)
    assert np.abs(found - wanted)[8:-8, 8:-8].max() < 3


class Reader:
    """Finds one face where the image is bright; embeds the mean colour of a face."""

    def find(self, image: Image.Image) -> list[np.ndarray]:
        return [landmarks(1, 0, (0, 0))] if np.mean(np.array(image)) > 50 else []

    def embed(self, found: list[Image.Image]) -> np.ndarray:
        return np.array([np.array(face).reshape(-1, 3).mean(0) for face in found])


def test_face_similarity_by_hand() -> None:
    def plain(colour: tuple[int, int, int]) -> Image.Image:
        return Image.new("RGB", (112, 112), colour)

    pairs = [
        (plain((200, 0, 0)), plain((100, 0, 0))),  # the same direction: 1
        (plain((200, 200, 0)), plain((200, 0, 0))),  # 45°
        (plain((9, 9, 9)), plain((200, 0, 0))),  # no face on the original
    ]
    scores = [faces.compare_faces(Reader(), *pair) for pair in pairs]
    assert [weight for _, weight in scores] == [1, 1, 0]
    assert scores[0][0] == pytest.approx(1) and scores[1][0] == pytest.approx(0.5**0.5, abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # facexlib calls torchvision by deprecated names
def test_arcface_is_loaded_from_files_and_embeds(tmp_path: Path) -> None:
    pytest.importorskip("facexlib")
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        embedder = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
    detector = RetinaFace(network_name="resnet50", device="cpu").state_dict()
    torch.save({f"module.{k}": v for k, v in detector.items()}, tmp_path / "d.pth")
    shapes = {name: tuple(v.shape) for name, v in embedder.state_dict().items()}
    torch.save(seeded(shapes), tmp_path / "e.pth")
    reader = faces.ArcFace(tmp_path / "d.pth", tmp_path / "e.pth", device="cpu")
    rng = np.random.default_rng(0)
    found = [Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)) for _ in range(2)]
    embeddings = reader.embed([found[0], found[1], found[0]])
    assert embeddings.shape == (3, 512) and np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[0], embeddings[2], rtol=1e-4, atol=1e-6)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3
    assert isinstance(reader.find(found[0]), list)  # random weights find nothing meaningful
