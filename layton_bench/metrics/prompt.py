"""Published scorers of how well an image fits its prompt, and how much people would like it.

    clip-score        max(100 · cos, 0), CLIP ViT-L/14: torchmetrics' convention
    clip-score-b32    2.5 · max(cos, 0) of "A photo depicts …", ViT-B/32 (Hessel et al. 2021)
    pickscore         exp(logit scale) · cos, CLIP ViT-H/14 on Pick-a-Pic (Kirstain et al. 2023)
    hpsv2             100 · cos, HPS v2.1 (Wu et al. 2023)
    aesthetic         LAION's linear predictor on CLIP ViT-L/14, 1..10; needs no prompt
    image-reward      ImageReward v1.0 (Xu et al. 2023), standardised

Image towers are backbones, so metrics on the same tower share its pass. Images get CLIP's own
preprocessing: Pillow's bicubic, shorter side to 224 px, centre crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.backbones.clip import HPSV2, load_hpsv2_texts, load_texts
from layton_bench.metrics.backbones.linear_chain import LinearChain
from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.types import ScoredBatch

    Texts = Callable[[Sequence[str]], Tensor]

CLIP_L, CLIP_B, PICKSCORE = "clip-vit-l-14", "clip-vit-b-32", "pickscore"
AESTHETIC, IMAGE_REWARD = "aesthetic", "image-reward"


def texts_of(batch: ScoredBatch) -> list[str]:
    """Return the texts of the prompts (B,). Raise ValueError if one has no text."""
    texts = [prompt.text for prompt in batch.prompts]
    if len(texts) != len(batch) or None in texts:
        raise ValueError("this metric needs a text prompt for every image")
    return [text for text in texts if text is not None]


def cosines(images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each row of images (B, D) with the same row of texts, float64 (B,)."""
    a, b = images.astype(np.float64), texts.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths)


def _cosine_score(
    batch: ScoredBatch, *, context: MetricContext, backbone: str, texts: Texts, prefix: str,
    scale: float, floor: float,
) -> list[float]:  # fmt: skip
    images = context.features.candidates(batch, backbone, "embedding").rows
    words = texts([prefix + text for text in texts_of(batch)]).numpy()
    found: list[float] = np.maximum(scale * cosines(images, words), floor).tolist()
    return found


def _make_cosine(
    context: MetricContext, *, name: str, backbone: str, prefix: str = "", scale: float,
    floor: float = -np.inf,
) -> PerSampleMetric:  # fmt: skip
    folder = context.weights(backbone)
    score = partial(
        _cosine_score, context=context, backbone=backbone, prefix=prefix, floor=floor,
        texts=_texts(folder, backbone, context.device),
        scale=scale if scale > 0 else _logit_scale(folder),
    )  # fmt: skip
    return PerSampleMetric(name, score)


def _texts(folder: Path, name: str, device: str) -> Texts:
    if name == HPSV2:
        return load_hpsv2_texts(folder, device=device)
    return load_texts(folder, name=name, device=device)


def _logit_scale(folder: Path) -> float:
    """Return the exponential of the model's own logit scale."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        return float(np.exp(file.get_tensor("logit_scale")))


def _aesthetic_score(
    batch: ScoredBatch, *, context: MetricContext, head: LinearChain
) -> list[float]:
    rows = context.features.candidates(batch, CLIP_L, "embedding").rows.astype(np.float64)
    found: list[float] = head(rows / np.linalg.norm(rows, axis=1, keepdims=True))[:, 0].tolist()
    return found


def _make_aesthetic(context: MetricContext) -> PerSampleMetric:
    from layton_bench.weights import load_state_dict

    head = LinearChain(load_state_dict(context.weights(AESTHETIC)))
    score = partial(_aesthetic_score, context=context, head=head)
    return PerSampleMetric(AESTHETIC, score)


def _make_image_reward(context: MetricContext) -> PerSampleMetric:
    from layton_bench.metrics.backbones.image_reward import ImageReward

    model = ImageReward.load(context.weights(IMAGE_REWARD), device=context.device)

    def score(batch: ScoredBatch) -> list[float]:
        return model(batch.candidates, texts_of(batch)).tolist()

    return PerSampleMetric(IMAGE_REWARD, score)


def _cosine_spec(
    name: str, label: str, summary: str, backbone: str, digits: int = 2, **settings: object
) -> MetricSpec:
    signature = {"feat": backbone, "resize": "pil-bicubic-224"}
    if settings.get("prefix"):
        signature["prefix"] = "a-photo-depicts"
    return MetricSpec(
        name=name, label=label, direction="higher", summary=summary, digits=digits,
        weights=(backbone,), needs=frozenset({"prompt"}), signature=signature,
        make=partial(_make_cosine, name=name, backbone=backbone, **settings),  # type: ignore[arg-type]
    )  # fmt: skip


SPECS = (
    _cosine_spec(
        "clip-score", "CLIPScore", "100 · cosine of image and prompt, CLIP ViT-L/14", CLIP_L,
        scale=100.0, floor=0.0,
    ),
    _cosine_spec(
        "clip-score-b32", "CLIPScore (B/32)", "CLIPScore as first published, CLIP ViT-B/32",
        CLIP_B, 4, scale=2.5, floor=0.0, prefix="A photo depicts ",
    ),
    _cosine_spec(
        PICKSCORE, "PickScore", "preference score of Pick-a-Pic", PICKSCORE, scale=0.0
    ),
    _cosine_spec(HPSV2, "HPSv2.1", "100 · Human Preference Score v2.1", HPSV2, scale=100.0),
    MetricSpec(
        name=AESTHETIC, label="aesthetic", direction="higher", digits=3,
        summary="LAION's aesthetic predictor", weights=(CLIP_L, AESTHETIC),
        signature={"feat": CLIP_L, "resize": "pil-bicubic-224"}, make=_make_aesthetic,
    ),
    MetricSpec(
        name=IMAGE_REWARD, label="ImageReward", direction="higher", digits=4,
        summary="ImageReward v1.0", weights=(IMAGE_REWARD,), needs=frozenset({"prompt"}),
        signature={"feat": "blip-vit-l", "resize": "pil-bicubic-224"}, make=_make_image_reward,
    ),
)  # fmt: skip
