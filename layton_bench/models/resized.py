"""Adapters that run a model at its native size in a suite of another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from layton_bench.errors import UserError
from layton_bench.models.base import (
    CallCost,
    Generator,
    LoadContext,
    ModelCard,
    ModelSpec,
    TellsCost,
    TellsNotes,
    Tokenizer,
    check_prompts,
)
from layton_bench.types import Codes, Prompt

if TYPE_CHECKING:
    from torch import Tensor


class ResizeAdapter:
    """Resizes images before encoding and after decoding: antialiased bicubic, clamped to [-1, 1].

    Args:
        tokenizer: the model.
        native_px: image side at which it runs.
    """

    def __init__(self, tokenizer: Tokenizer, native_px: int) -> None:
        self.tokenizer = tokenizer
        self.native_px = native_px
        self.environment: Mapping[str, str] = getattr(tokenizer, "environment", {})

    def encode(self, images: Tensor) -> Codes:
        """Encode at the native size. The codes keep the size of the images."""
        small = resize(images, (self.native_px, self.native_px))
        height, width = images.shape[-2:]
        return replace(self.tokenizer.encode(small), size_px=(height, width))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Decode at the native size, and resize to the size that the codes keep."""
        native = replace(codes, size_px=(self.native_px, self.native_px))
        return resize(self.tokenizer.decode(native, seeds), codes.size_px)


class ResizedGenerator:
    """Draws at the native size and resizes: antialiased bicubic, clamped to [-1, 1].

    Args:
        generator: the model.
        size_px: side of the images that it returns.
    """

    def __init__(self, generator: Generator, size_px: int) -> None:
        self.generator = generator
        self.size_px = size_px
        self.environment: Mapping[str, str] = getattr(generator, "environment", {})

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, size_px, size_px)."""
        return resize(self.generator.generate(prompts, seeds), (self.size_px, self.size_px))

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise UserError for a prompt that the model cannot draw."""
        check_prompts(self.generator, prompts)

    def notes(self) -> Sequence[str]:
        """Return the model's notes."""
        return self.generator.notes() if isinstance(self.generator, TellsNotes) else ()

    def latest_cost(self) -> CallCost:
        """Return the cost of the model's latest call."""
        model = self.generator
        return model.latest_cost() if isinstance(model, TellsCost) else CallCost()


def resize(images: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Resize float images in [-1, 1] by antialiased bicubic (a = -0.5, as in Pillow), clamped."""
    from torch.nn.functional import interpolate

    if images.shape[-2:] == size_px:
        return images
    resized = interpolate(images, size=size_px, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(-1, 1)


def adapt(spec: ModelSpec, native_px: int, size_px: int | None = None) -> ModelSpec:
    """Return the model ``NAME@<px>``: ``spec`` behind a resize adapter.

    Args:
        spec: the model.
        native_px: image side at which it runs.
        size_px: side of a generator's images; None leaves them as drawn. A tokenizer's
            reconstructions have the size of its inputs.

    Raises:
        UserError: the model was not made for the native size.
    """
    card = spec.card
    if card.sizes_px and native_px not in card.sizes_px:
        sizes = ", ".join(f"{card.name}@{size}" for size in card.sizes_px)
        raise UserError(
            f"model '{card.name}@{native_px}'",
            f"the model was not made for {native_px} px",
            f"Use one of {sizes}.",
        )

    def load(context: LoadContext) -> Tokenizer | Generator:
        inner = spec.load(context)
        if isinstance(inner, Tokenizer):
            return ResizeAdapter(inner, native_px)
        return ResizedGenerator(inner, size_px or native_px)

    if card.kind == "generator":
        return replace(spec, card=_resized_card(card, native_px, size_px or native_px), load=load)
    return replace(spec, card=_adapted_card(card, native_px), load=load)


def _resized_card(card: ModelCard, native_px: int, size_px: int) -> ModelCard:
    note = f"draws at {native_px} px, resized by an antialiased bicubic filter"
    return replace(
        card,
        name=f"{card.name}@{native_px}",
        title=f"{card.title or card.name}@{native_px}",
        sizes_px=(size_px,),
        aliases=(),
        notes=f"{card.notes}; {note}" if card.notes else note,
    )


def _adapted_card(card: ModelCard, native_px: int) -> ModelCard:
    note = f"behind a resize adapter: runs at {native_px} px, antialiased bicubic both ways"
    # bits and tokens on the card hold at the first of its sizes; at another one only the run knows
    at_first = not card.sizes_px or native_px == card.sizes_px[0]
    return replace(
        card,
        name=f"{card.name}@{native_px}",
        title=f"{card.title or card.name}@{native_px}",
        sizes_px=(),
        num_tokens=card.num_tokens if at_first else None,
        bits_per_image=card.bits_per_image if at_first else None,
        aliases=(),
        notes=f"{card.notes}; {note}" if card.notes else note,
    )
