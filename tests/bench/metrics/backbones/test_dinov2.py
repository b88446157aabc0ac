"""DINOv2 against timm, and its position embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_towers import rows, tiny_dinov2

from layton_bench.metrics.backbones import dinov2
from layton_bench.metrics.backbones.pillow import squash


def test_dinov2_equals_timm(tmp_path: Path, images: torch.Tensor) -> None:
    timm = pytest.importorskip("timm")
    model = tiny_dinov2(tmp_path)
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=224, patch_size=14, embed_dim=32, depth=2, num_heads=2, num_classes=0,
        init_values=1.0,
    ).eval()  # fmt: skip
    own = model.state_dict()
    state = {
        "cls_token": own["embeddings.cls_token"],
        "pos_embed": dinov2.positions_at(own["embeddings.position_embeddings"], 16),
        "norm.weight": own["layernorm.weight"],
        "norm.bias": own["layernorm.bias"],
    }
    for part in ("weight", "bias"):
        state[f"patch_embed.proj.{part}"] = own[f"embeddings.patch_embeddings.projection.{part}"]
    for i in range(2):
        old, new = f"encoder.layer.{i}", f"blocks.{i}"
        for part in ("weight", "bias"):
            state[f"{new}.attn.qkv.{part}"] = torch.cat(
                [_projection(own, old, letter, part) for letter in "qkv"]
            )
            state[f"{new}.attn.proj.{part}"] = _projection(own, old, "o", part)
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"{new}.{name}.{part}"] = own[f"{old}.{name}.{part}"]
        for k in (1, 2):
            state[f"{new}.ls{k}.gamma"] = own[f"{old}.layer_scale{k}.lambda1"]
    theirs.load_state_dict(state)
    mean, std = (torch.tensor(v)[:, None, None] for v in (dinov2._MEAN, dinov2._STD))
    with torch.no_grad():
        x = (squash(images, 224).float() / 255 - mean) / std
        wanted = theirs.forward_features(x)[:, 0].numpy()
    found = rows(dinov2.SPECS[0], tmp_path, images)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def _projection(own: dict, layer: str, letter: str, part: str) -> torch.Tensor:
    """A projection under the names of transformers 5 or of 4."""
    older = {"q": "attention.query", "k": "attention.key", "v": "attention.value",
             "o": "output.dense"}[letter]  # fmt: skip
    name = f"{layer}.attention.{letter}_proj.{part}"
    return own[name if name in own else f"{layer}.attention.{older}.{part}"]


def test_position_embeddings_are_sampled_by_the_factor_of_dinov2() -> None:
    """The bicubic kernel (a = -0.75) by hand, at source coordinate (i + 1/2)·37/16.1 - 1/2."""
    ramp = torch.randn(37, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = ramp[:, None].expand(37, 37)  # varies along rows alone
    embeddings = torch.cat([torch.zeros(1), grid.flatten().float()])[None, :, None]
    found = dinov2.positions_at(embeddings, 16)[0, 1:, 0].reshape(16, 16)

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    for i in (0, 1, 7, 15):
        source = (i + 0.5) * 37 / 16.1 - 0.5
        base = int(np.floor(source))
        wanted = sum(
            kernel(source - j) * float(ramp[min(max(j, 0), 36)]) for j in range(base - 1, base + 3)
        )
        assert found[i, 3].item() == pytest.approx(wanted, abs=1e-5)
