"""Golden feature matrices, and a runner over a backbone whose features are easily worked out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from places import GOLDEN

from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import ScoredBatch

FEATURES = GOLDEN / "features"
SMALL = ("rank_deficient", "duplicates", "tiny")
LARGE = ("general", "equal_n", "inception_like", "near_singular", "disjoint_low_rank", "identical")


def features() -> dict[str, np.ndarray]:
    with np.load(FEATURES / "features.npz") as file:
        return dict(file)


def expected() -> dict:
    return json.loads((FEATURES / "expected.json").read_text(encoding="utf-8"))


def shared_case(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray, dict]:
    """A case of the whole golden set: candidates, references, expected values."""
    from safetensors.numpy import load_file

    folder = shared / "parity" / "metrics"
    rows = load_file(folder / "features.safetensors")
    cases = json.loads((folder / "features_expected.json").read_text())["cases"]
    return rows[f"{name}.fake"], rows[f"{name}.real"], cases[name]


class Corner:
    """Features are the values of the first pixels of a picture; counts its passes."""

    width = 48

    def __init__(self) -> None:
        self.images_seen = 0

    def __call__(self, images: torch.Tensor) -> Mapping[str, torch.Tensor]:
        self.images_seen += len(images)
        flat = images.flatten(1)[:, : self.width].float() / 64
        return {"pool3": flat, "logits": flat, "spatial": flat, "cls": flat, "embedding": flat}


NAMES = ("inception-tf1", "inception-clean", "inception-pytorch-fid", "dinov2-vit-l-14",
         "clip-vit-l-14-336")  # fmt: skip


def runner(corner: Corner | None = None, **options: object) -> FeatureRunner:
    """A runner in which every backbone is ``corner``."""
    backbone = corner or Corner()
    specs = {
        name: BackboneSpec(
            name=name, taps=("pool3",), weights=(), load=lambda find, device: backbone
        )
        for name in NAMES
    }
    return FeatureRunner(specs, Path, **options)  # type: ignore[arg-type]


def context(corner: Corner | None = None) -> MetricContext:
    return MetricContext(features=runner(corner), seed=7)


def pictures(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 4, 4), dtype=torch.uint8, generator=generator)


def batches(
    candidates: torch.Tensor, references: torch.Tensor | None, size: int, order: list[int]
) -> list[ScoredBatch]:
    """The samples in that order, ``size`` a batch; sample i is keyed by its number."""
    found = []
    for start in range(0, len(order), size):
        part = order[start : start + size]
        found.append(
            ScoredBatch(
                keys=tuple(f"{i:04}" for i in part),
                candidates=candidates[part],
                references=None if references is None else references[part],
            )
        )
    return found
