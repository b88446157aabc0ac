"""Reference libraries' networks without their weights, and scores computed by whole models."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import torch

from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.pillow import resize_then_crop


def reference_network():
    return pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


def bare(module) -> torch.nn.Module:
    """The reference's network without its loading of weights."""
    extractor = module.FeatureExtractorInceptionV3
    with (
        mock.patch.object(module, "load_state_dict_from_url", lambda *a, **k: {}),
        mock.patch.object(extractor, "load_state_dict", lambda *a, **k: None),
    ):
        return extractor("inception-v3-compat", ["64", "192", "768", "2048", "logits_unbiased"])


def reference_cosines(model, folder: Path, images: torch.Tensor, texts: list[str]) -> list[float]:
    """By the whole model, which normalises by itself and scales by exp(logit_scale)."""
    from transformers import CLIPTokenizer

    tokens = CLIPTokenizer.from_pretrained(folder)(
        texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    x = (resize_then_crop(images, 32).float() / 255 - mean) / std
    with torch.no_grad():
        logits = model(pixel_values=x, **tokens).logits_per_image
        return (logits.diagonal() / model.logit_scale.exp()).tolist()
