"""Scorers of pictures for prompts: tiny models of the real classes in the real layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prompt_batches import TEXTS, batch, scores, tiny
from reference_models import reference_cosines

from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.pillow import resize_then_crop


def test_clip_scores(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "clip-vit-l-14")
    cosines = reference_cosines(model, tmp_path / "clip-vit-l-14", images, list(TEXTS))
    found = scores("clip-score", tmp_path, batch(images))
    assert found == pytest.approx([max(0, 100 * c) for c in cosines], abs=1e-4)
    model = tiny(tmp_path, "clip-vit-b-32")
    texts = [f"A photo depicts {text}" for text in TEXTS]
    cosines = reference_cosines(model, tmp_path / "clip-vit-b-32", images, texts)
    found = scores("clip-score-b32", tmp_path, batch(images))
    assert found == pytest.approx([max(0, 2.5 * c) for c in cosines], abs=1e-5)


def test_pickscore_is_scaled_by_the_models_own_scale(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "pickscore")
    cosines = reference_cosines(model, tmp_path / "pickscore", images, list(TEXTS))
    scale = float(model.logit_scale.detach().exp())
    assert scale > 10
    found = scores("pickscore", tmp_path, batch(images))
    assert found == pytest.approx([scale * c for c in cosines], abs=1e-4)
    assert any(value < 0 for value in found) or min(cosines) >= 0  # not clipped


def test_a_picture_without_words_fails_alone(tmp_path: Path, images: torch.Tensor) -> None:
    tiny(tmp_path, "clip-vit-l-14")
    with pytest.raises(KeyError, match="'1'"):  # it has no value, and the first one has
        scores("clip-score", tmp_path, batch(images, ("a cup", None)))


def test_aesthetic_is_a_chain_of_linear_layers(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "clip-vit-l-14")
    torch.manual_seed(2)
    head = torch.nn.Sequential(
        torch.nn.Linear(16, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 4),
        torch.nn.Dropout(0.1), torch.nn.Linear(4, 1),
    ).eval()  # fmt: skip
    torch.save({f"layers.{k}": v for k, v in head.state_dict().items()}, tmp_path / "aesthetic")
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    with torch.no_grad():
        x = (resize_then_crop(images, 32).float() / 255 - mean) / std
        rows = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
        wanted = head(rows / rows.norm(dim=1, keepdim=True))[:, 0].tolist()
    assert scores("aesthetic", tmp_path, batch(images)) == pytest.approx(wanted, abs=1e-5)
