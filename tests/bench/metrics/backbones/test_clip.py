"""CLIP's image towers against transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_towers import HUB_SPECS, rows, tiny_clip

from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.pillow import crop_then_resize, resize_then_crop


@pytest.mark.parametrize("spec", HUB_SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("safe", [True, False])
def test_clip_equals_transformers(spec, safe: bool, tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny_clip(tmp_path, spec.name, safe=safe)
    resize = crop_then_resize if spec.name == "clip-vit-l-14-336" else resize_then_crop
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    with torch.no_grad():
        x = (resize(images, 56).float() / 255 - mean) / std
        tower = model.vision_model(pixel_values=x).pooler_output
        wanted = model.visual_projection(tower).numpy()
    np.testing.assert_allclose(rows(spec, tmp_path, images), wanted, atol=1e-6)
