"""Pictures with prompts, and a prompt metric's scores of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geneval_models import save_tiny_clip

from layton_bench.metrics import prompt
from layton_bench.metrics.backbones import clip
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import Prompt, ScoredBatch

if TYPE_CHECKING:
    import torch

SPECS = {spec.name: spec for spec in prompt.SPECS}


TEXTS = ("a red cup", "two dogs on grass")


def batch(images: torch.Tensor, texts: tuple[str | None, ...] = TEXTS) -> ScoredBatch:
    prompts = tuple(Prompt(key=f"{i}", text=text) for i, text in enumerate(texts))
    keys = tuple(p.key for p in prompts)
    return ScoredBatch(keys=keys, candidates=images, prompts=prompts)


def scores(name: str, root: Path, given: ScoredBatch) -> list[float]:
    find = root.joinpath
    features = FeatureRunner({spec.name: spec for spec in clip.SPECS}, find)
    metric = SPECS[name].make(MetricContext(features=features, weights=find))
    metric.update(given)
    column = metric.per_sample()[name]
    return [column[key] for key in given.keys]


def tiny(root: Path, name: str):
    from transformers import CLIPModel

    (root / name).mkdir()
    save_tiny_clip(root / name)
    return CLIPModel.from_pretrained(root / name).eval()
