"""Passes over a few flat pictures, with models whose every value is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fakes import BAD_LEVEL as BAD, Scaled, image_batch, level

from layton_bench.machine.clock import Clock
from layton_bench.metrics.base import PerSampleMetric
from layton_bench.run.engine.candidates import Reconstruct
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.engine.loop import Evaluation, evaluate
from layton_bench.seeds import sample_seed
from layton_bench.types import Codes, ImageBatch

if TYPE_CHECKING:
    import torch

LEVELS = {"a": 0, "b": 100, "c": 255, "d": 31, "e": 202}


WITH_BAD = {"a": 0, "b": 100, "bad": BAD, "c": 255, "d": 31}


def cut(levels: Mapping[str, int], size: int) -> list[ImageBatch]:
    keys = list(levels)
    starts = range(0, len(keys), size)
    return [image_batch({k: levels[k] for k in keys[s : s + size]}) for s in starts]


def score(
    model: Any,
    batches: list[ImageBatch],
    metrics: Mapping[str, Any] | None = None,
    *,
    user_seed: int = 0,
    **settings: Any,
) -> tuple[Evaluation, dict[str, float]]:
    """The evaluation and the mean grey level of each reconstruction."""
    metric, clock = PerSampleMetric("level", level), settings.pop("clock", Clock())
    candidates = settings.pop("candidates", None) or Reconstruct(
        model,
        seed_of=partial(sample_seed, "tiny-16", user_seed=user_seed),
        rounding="round",
        clock=clock,
        device="cpu",
    )
    done = evaluate(
        batches, candidates, {**(metrics or {}), "level": metric},
        clock=clock, gallery=Gallery(None), **settings,
    )  # fmt: skip
    return done, dict(metric.per_sample()["level"])


class Faulty(Scaled):
    """Does something wrong wherever a picture of the bad level is in the batch."""

    def __init__(self, *, encode: Callable[..., Any] | None = None, decode: Any = None) -> None:
        self._encode, self._decode = encode, decode

    def encode(self, images: torch.Tensor) -> Codes:
        codes = super().encode(images)
        return self._encode(codes) if self._encode and has_bad(images) else codes

    def decode(self, codes: Codes, seeds: Any) -> torch.Tensor:
        images = super().decode(codes, seeds)
        assert codes.latents is not None
        return self._decode(images) if self._decode and has_bad(codes.latents) else images


def has_bad(images: torch.Tensor) -> bool:
    return bool(at_bad(images).any())


def at_bad(images: torch.Tensor) -> torch.Tensor:
    return (images[:, 0, 0, 0] - (BAD / 127.5 - 1)).abs() < 1e-6


def put(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Sets one pixel of the bad sample alone."""

    def change(images: torch.Tensor) -> torch.Tensor:
        changed = images.clone()
        changed[(images[:, 0, 0, 0] * 2 - (BAD / 127.5 - 1)).abs() < 1e-6, 1, 3, 3] = value
        return changed

    return change


def throw(error: BaseException) -> Callable[[Any], Any]:
    def change(_: Any) -> Any:
        raise error

    return change
