"""What the metrics see: reconstructions or drawn pictures, checked, as uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from layton_bench.errors import ModelOutputError
from layton_bench.images import RoundingRule, to_signed, to_uint8
from layton_bench.machine import Clock
from layton_bench.models import Generator, Tokenizer
from layton_bench.types import Codes, ImageBatch, Item, Prompt, ScoredBatch

if TYPE_CHECKING:
    from torch import Tensor

# A decoder may overshoot [-1, 1] a little and is clamped, as every published script does; values
# this far out mean another range (0..255) or a diverged model.
_RANGE_BOUND = 8.0


class SeedOf(Protocol):
    """Where seeds come from."""

    def __call__(self, key: str, *, repeat: int = 0) -> int:
        """Seed of a sample; ``repeat`` is the number of the decode seed."""


class Reconstruct:
    """Encodes, decodes and rounds a batch, and checks what the model returns.

    Args:
        tokenizer: the model.
        seed_of: sample key and number of the decode seed → seed of its decoder.
        rounding: the suite's rule from float to uint8.
        clock: takes encode and decode times.
        device: where the model runs.
        decode_seeds: how often each image is decoded; ``redecoded`` gives all but the first.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seed_of: SeedOf,
        rounding: RoundingRule,
        clock: Clock,
        device: str,
        decode_seeds: int = 1,
    ) -> None:
        self.model = tokenizer
        self._seed_of = seed_of
        self._rounding = rounding
        self._clock = clock
        self._device = device
        self._decode_seeds = decode_seeds

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Reconstruct; raises ModelOutputError, or whatever the model raises."""
        import torch

        with torch.inference_mode():
            images = to_signed(batch.images.to(self._device))
            with self._clock.phase("encode", images=len(batch.items)):
                codes = self.model.encode(images)
            check_codes(codes, len(batch.items))
            scored, *others = (
                self._decode(batch, codes, number) for number in range(self._decode_seeds)
            )
            scored.memo["redecoded"] = others
            return scored

    def _decode(self, batch: ImageBatch, codes: Codes, number: int) -> ScoredBatch:
        seeds = [self._seed_of(key, repeat=number) for key in batch.keys]
        with self._clock.phase("decode", images=len(batch.items)):
            decoded = self.model.decode(codes, seeds)
        check_images(decoded, tuple(batch.images.shape))
        return ScoredBatch(
            keys=batch.keys,
            references=batch.images,
            candidates=to_uint8(decoded.float(), self._rounding).cpu(),
            codes=codes,
            memo={"decoded": decoded},  # for those who compare rounding rules
        )


def redecoded(number: int, batch: ScoredBatch) -> ScoredBatch:
    """The batch as decoded with decode seed ``number``, 1 or more."""
    others: list[ScoredBatch] = batch.memo["redecoded"]
    return others[number - 1]


class Draw:
    """Draws one picture for each sample of a batch.

    Args:
        generator: the model.
        size_px: side of the square pictures it must return.
        seed_of: sample key → seed.
        rounding: the suite's rule from float to uint8.
        clock: takes the time.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        size_px: int,
        seed_of: SeedOf,
        rounding: RoundingRule,
        clock: Clock,
    ) -> None:
        self.model = generator
        self.seed_of = seed_of
        self._size_px = size_px
        self._rounding = rounding
        self._clock = clock

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Draw; raises ModelOutputError, or whatever the model raises."""
        import torch

        prompts = prompts_of(batch.items)
        with torch.inference_mode():
            with self._clock.phase("generate", images=len(prompts)):
                drawn = self.model.generate(prompts, [self.seed_of(k) for k in batch.keys])
            check_images(drawn, (len(prompts), 3, self._size_px, self._size_px))
            return ScoredBatch(
                keys=batch.keys,
                references=batch.images if batch.has_images else None,
                candidates=to_uint8(drawn.float(), self._rounding).cpu(),
                prompts=prompts,
            )


def prompts_of(items: Sequence[Item]) -> tuple[Prompt, ...]:
    """A sample's prompt is its first caption, or its label where it has no caption."""
    return tuple(
        Prompt(key=item.key, text=next(iter(item.captions), None), class_id=item.label)
        for item in items
    )


def check_images(images: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ModelOutputError unless images are floating, finite, in range and of that shape."""
    import torch

    if not isinstance(images, torch.Tensor):
        raise ModelOutputError(f"returned {type(images).__name__}, expected a torch tensor")
    if tuple(images.shape) != expected:
        raise ModelOutputError(f"returned shape {tuple(images.shape)}, expected {expected}")
    if not images.is_floating_point():
        raise ModelOutputError(f"returned {images.dtype}, expected floating images in [-1, 1]")
    bound = torch.stack(images.aminmax()).abs().max().item()  # NaN where any value is NaN
    if not math.isfinite(bound):
        raise ModelOutputError("returned NaN or infinite values")
    if bound > _RANGE_BOUND:
        raise ModelOutputError(f"returned values up to {bound:.4g}, expected [-1, 1]")


def check_codes(codes: Codes, count: int) -> None:
    """Raise ModelOutputError unless there is one set of codes an image, all in the codebook."""
    if not isinstance(codes, Codes):
        raise ModelOutputError(f"encode returned {type(codes).__name__}, expected Codes")
    if len(codes) != count:
        raise ModelOutputError(f"returned codes of {len(codes)} images for {count}")
    if codes.codes is None or codes.codebook_size is None:
        return
    values = codes.codes
    if values.ndim != 2 or values.dtype.is_floating_point or str(values.dtype) == "torch.bool":
        shape = tuple(values.shape)
        raise ModelOutputError(f"returned codes {values.dtype} {shape}, expected int64 (B, N)")
    if bool(((values < 0) | (values >= codes.codebook_size)).any()):
        raise ModelOutputError(f"returned codes outside [0, {codes.codebook_size})")
