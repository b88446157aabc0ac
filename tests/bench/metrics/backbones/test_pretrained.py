"""Folders of transformers models are loaded whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tiny_towers import HUB_SPECS, rows, tiny_clip, tiny_dinov2

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics.backbones import dinov2

if TYPE_CHECKING:
    import torch


@pytest.mark.parametrize("spec", [*dinov2.SPECS, *HUB_SPECS], ids=lambda spec: spec.name)
def test_half_a_model_is_refused(spec, tmp_path: Path, images: torch.Tensor) -> None:
    from safetensors.torch import load_file, save_file

    make = tiny_dinov2 if spec.name == dinov2.NAME else lambda f: tiny_clip(f, spec.name)
    make(tmp_path)
    file = tmp_path / spec.name / "model.safetensors"
    kept = dict(list(load_file(file).items())[:-1])
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(MissingWeightsError, match="1 parameters are missing"):
        rows(spec, tmp_path, images)
