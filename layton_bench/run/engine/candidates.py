"""What the metrics see: reconstructions, drawn pictures or ready-made ones, checked, as uint8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from layton_bench.images import RoundingRule, to_signed, to_uint8
from layton_bench.machine import Clock
from layton_bench.models import Generator, Tokenizer, check_codes, check_images
from layton_bench.types import Codes, ImageBatch, Item, Prompt, ScoredBatch

Candidates = Callable[[ImageBatch], ScoredBatch]
"""Returns what the metrics see of a batch; may raise anything."""


class SeedOf(Protocol):
    """Where seeds come from."""

    def __call__(self, key: str, *, repeat: int = 0) -> int:
        """Return the seed of a sample; ``repeat`` is the number of the decode seed."""


class ReadyMade(Protocol):
    """Pictures that exist already, so that no model is run."""

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Return the pictures of a batch; raises ImageError or ModelOutputError."""

    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of each sample's picture, by key."""


class Reconstruct:
    """Encodes, decodes and rounds a batch, and checks what the model returns.

    Args:
        tokenizer: the model.
        seed_of: sample key and number of the decode seed → seed of its decoder.
        rounding: the suite's rule from float to uint8.
        clock: takes encode and decode times.
        device: where the model runs.
        decode_seeds: how often each image is decoded; ``redecoded`` has all but the first.
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
            redecoded = tuple(
                self._decode(batch, codes, number) for number in range(1, self._decode_seeds)
            )
            return self._decode(batch, codes, 0, redecoded=redecoded)

    def _decode(
        self,
        batch: ImageBatch,
        codes: Codes,
        number: int,
        *,
        redecoded: tuple[ScoredBatch, ...] = (),
    ) -> ScoredBatch:
        seeds = [self._seed_of(key, repeat=number) for key in batch.keys]
        with self._clock.phase("decode", images=len(batch.items)):
            decoded = self.model.decode(codes, seeds)
        check_images(decoded, tuple(batch.images.shape))
        return ScoredBatch(
            keys=batch.keys,
            references=batch.images,
            candidates=to_uint8(decoded.float(), self._rounding).cpu(),
            codes=codes,
            decoded=decoded,
            redecoded=redecoded,
        )


class Draw:
    """Draws one picture for each sample of a batch.

    Args:
        generator: the model.
        size_px: side of the square pictures that it must return.
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
                decoded=drawn,
            )


class ReadyMadeCandidates:
    """Looks up pictures that exist already.

    Args:
        pictures: where they are.
        clock: counts the reading as decoding.
    """

    def __init__(self, pictures: ReadyMade, clock: Clock) -> None:
        self._pictures = pictures
        self._clock = clock

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Look up; raises ImageError or ModelOutputError."""
        with self._clock.phase("decode"):
            return self._pictures(batch)


def prompts_of(items: Sequence[Item]) -> tuple[Prompt, ...]:
    """Return each sample's prompt: its first caption, or its label if it has no caption."""
    return tuple(
        Prompt(key=item.key, text=next(iter(item.captions), None), class_id=item.label)
        for item in items
    )
