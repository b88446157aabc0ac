"""Small stand-ins for models, metrics and records, each with a value known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from layton_bench.machine.provenance import Provenance
from layton_bench.metrics.base import MetricSpec, PerSampleMetric
from layton_bench.models.base import ModelCard, ModelSpec
from layton_bench.records.record import (
    Completeness,
    DataInfo,
    MetricResult,
    ModelInfo,
    RunRecord,
    Timing,
)
from layton_bench.suite import Suite
from layton_bench.types import Codes, ImageBatch, Item, ScoredBatch

BAD_LEVEL = 77
"""A flat picture of this grey level is what the faulty models fail on."""


def suite(**changes: Any) -> Suite:
    """A suite of squares of 16 px."""
    asked: dict[str, Any] = {
        "name": "tiny-16",
        "kind": "reconstruction",
        "summary": "tiny squares",
        "dataset": "tiny",
        "reference": "tiny",
        "size_px": 16,
        "protocol": "canonical@1",
        "metrics": ("level",),
    }
    return Suite.model_validate(asked | changes)


def card(name: str = "fake", **changes: Any) -> ModelCard:
    known: dict[str, Any] = {"kind": "tokenizer", "family": "fake", "summary": "a fake"}
    return ModelCard(name=name, **(known | changes))


def spec(name: str = "fake", model: object = None, **changes: Any) -> ModelSpec:
    options = changes.pop("options", {})
    return ModelSpec(
        card=card(name, **changes),
        load=lambda context: model,  # type: ignore[arg-type, return-value]
        options=options,
    )


class Scaled:
    """Returns half of what it is given: codes are the float images, nothing is lost before."""

    factor = 0.5

    def encode(self, images: torch.Tensor) -> Codes:
        height, width = images.shape[-2:]
        return Codes(size_px=(height, width), latents=images)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        assert codes.latents is not None
        assert len(seeds) == len(codes)
        return codes.latents * self.factor


class Grey:
    """A codebook of 256 greys, one for each 8 × 8 block."""

    def encode(self, images: torch.Tensor) -> Codes:
        means = torch.nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True), 8)
        codes = ((means + 1) * 127.5).round().long().flatten(1)
        height, width = images.shape[-2:]
        return Codes(size_px=(height, width), codes=codes, codebook_size=256)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        assert codes.codes is not None
        height, width = codes.size_px
        grid = codes.codes.reshape(-1, 1, height // 8, width // 8) / 127.5 - 1
        return grid.repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)


class Noisy:
    """Draws its picture from the seed alone."""

    def encode(self, images: torch.Tensor) -> Codes:
        height, width = images.shape[-2:]
        return Codes(size_px=(height, width), payloads=tuple(b"" for _ in images))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        shape = (3, *codes.size_px)
        drawn = [torch.rand(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(drawn) * 2 - 1


def level(batch: ScoredBatch) -> list[float]:
    """Mean grey level of each candidate."""
    return batch.candidates.double().mean(dim=(1, 2, 3)).tolist()


def metric_spec(
    name: str = "level", score: Callable[..., Any] = level, **changes: Any
) -> MetricSpec:
    known: dict[str, Any] = {"label": name.title(), "direction": "higher", "summary": "a fake"}
    return MetricSpec(
        name=name,
        make=lambda context: PerSampleMetric(name, score, seed=context.seed),
        **(known | changes),
    )


def image_batch(levels: Mapping[str, int], *, size_px: int = 16) -> ImageBatch:
    """One flat picture of each grey level."""
    images = torch.stack(
        [torch.full((3, size_px, size_px), v, dtype=torch.uint8) for v in levels.values()]
    )
    return ImageBatch(items=tuple(Item(key=key) for key in levels), images=images)


def result(value: float | None = 1.0, **changes: Any) -> MetricResult:
    known: dict[str, Any] = {
        "label": "PSNR",
        "direction": "higher",
        "unit": "dB",
        "digits": 2,
        "value": value,
        "n": 10,
        "signature": "psnr|n:10|v1",
    }
    return MetricResult.model_validate(known | changes)


def record(model: str = "fake", *, number: int = 1, **changes: Any) -> RunRecord:
    """A complete run over ten samples; ``number`` orders runs in time."""
    asked = changes.pop("suite", suite())
    info = ModelInfo(
        name=model,
        card=card(model, **changes.pop("card", {})),
        dtype=changes.pop("dtype", "float32"),
        options=changes.get("options", {}),
        changed_options=tuple(changes.pop("options", {})),
    )
    done: dict[str, Any] = {"expected": 10, "selected": 10, "effective": 10}
    known: dict[str, Any] = {
        "run_id": f"20250101T0000{number:02d}Z-0000000{number}",
        "run_key": f"{number:064x}",
        "status": "complete",
        "started": f"2025-01-01T00:00:{number:02d}+00:00",
        "suite": asked,
        "suite_digest": asked.digest(),
        "model": info,
        "data": DataInfo(name=asked.dataset, fingerprint=changes.pop("data", "d" * 64)),
        "seed": 0,
        "completeness": Completeness(**(done | changes.pop("completeness", {}))),
        "metrics": {"psnr": result()},
        "timing": Timing(
            total_seconds=1.0, load_seconds=0.1, encode_seconds=0.2, decode_seconds=0.3,
            metrics_seconds=0.4, batch_size=8,
        ),
        "provenance": Provenance(
            python="3.11.0", packages={"layton-bench": "0.1.0"}, codecs={}, git_commit="c" * 40,
            git_dirty=False, system="Linux x86_64", processor="a processor", device="cpu",
            device_name="a processor", threads=1,
        ),
    }  # fmt: skip
    return RunRecord(**(known | changes))
