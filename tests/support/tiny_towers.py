"""Small DINOv2 and CLIP models as folders, and their features through a runner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from layton_bench.metrics.backbones import clip, dinov2
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import ScoredBatch


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def rows(spec, folder: Path, images: torch.Tensor) -> np.ndarray:
    runner = FeatureRunner({spec.name: spec}, lambda name: folder / name)
    batch = ScoredBatch(keys=("a", "b"), candidates=images)
    return runner.candidates(batch, spec.name, spec.taps[0]).rows


def tiny_dinov2(folder: Path):
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32, num_attention_heads=2, num_hidden_layers=2, image_size=518, patch_size=14
    )
    model = Dinov2Model(config).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    model.save_pretrained(folder / dinov2.NAME)
    return model


def tiny_clip(folder: Path, name: str, *, safe: bool = True):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    towers = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2,
              "num_hidden_layers": 2}  # fmt: skip
    config = CLIPConfig(
        text_config={**towers, "vocab_size": 60}, projection_dim=24,
        vision_config={**towers, "image_size": 56, "patch_size": 14},
    )  # fmt: skip
    model = CLIPModel(config).eval()
    model.save_pretrained(folder / name)
    if not safe:
        torch.save(model.state_dict(), folder / name / "pytorch_model.bin")
        (folder / name / "model.safetensors").unlink()
    return model


HUB_SPECS = [spec for spec in clip.SPECS if spec.name != clip.HPSV2]
