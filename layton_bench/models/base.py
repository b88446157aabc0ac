"""What a model is: a card, and a function that loads a Tokenizer or a Generator.

A model's name is ``family-variant[@modifier]``: ``titok-l-32``, ``webp@448B``; ``@<px>`` runs a
tokenizer at its native size behind a resize adapter (``llamagen-16@256``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from layton_bench.errors import UserError, guarded_for_user
from layton_bench.types import Codes, Prompt, Stage

if TYPE_CHECKING:
    from torch import Tensor

ModelKind = Literal["tokenizer", "generator"]
PromptedBy = Literal["text", "class"]
OptionValue = int | float | str


@runtime_checkable
class Tokenizer(Protocol):
    """Encodes images to codes and decodes codes to images.

    The result depends on the seeds only, and never on other samples in the batch.
    """

    def encode(self, images: Tensor) -> Codes:
        """Encode float32 images in [-1, 1], (B, 3, H, W)."""

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Decode to float32 images in [-1, 1], (B, 3, H, W), with one seed per image."""


@runtime_checkable
class Generator(Protocol):
    """Draws one image per prompt. An image depends on its prompt and seed only."""

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """Cost of the latest ``generate`` call.

    Attributes:
        seconds: time of the whole batch per stage (reading the texts, drawing image tokens or
            denoising, decoding to pixels). The device finishes its work before a stage ends.
        nfe: forward passes of the denoiser for one image; None without a denoiser.
        peak_host_mib, peak_device_mib: peak memory of a model in a separate process; None if the
            model runs in this process, whose memory is measured here.
    """

    seconds: Mapping[Stage, float] = field(default_factory=dict)
    nfe: int | None = None
    peak_host_mib: float | None = None
    peak_device_mib: float | None = None


@runtime_checkable
class TellsCost(Protocol):
    """A generator that returns its cost per stage; others are timed as a whole."""

    def latest_cost(self) -> CallCost:
        """Return the cost of the latest ``generate``."""


@runtime_checkable
class TellsNotes(Protocol):
    """A model with notes on its results, such as the number of prompts that it cut."""

    def notes(self) -> Sequence[str]:
        """Return the notes; called after the last sample. Each is one sentence in the record."""


@runtime_checkable
class ChecksPrompts(Protocol):
    """A generator that checks all prompts before it draws the first one."""

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise UserError for a prompt that it cannot draw. This must be fast."""


def check_prompts(generator: Generator, prompts: Sequence[Prompt]) -> None:
    """Check the prompts if the generator has a check for them.

    Raises:
        UserError: it cannot draw one of them, or its check fails.
    """
    if not isinstance(generator, ChecksPrompts):
        return
    with guarded_for_user(
        "the model", "it failed to check its prompts", "Ask the plugin's author."
    ):
        generator.check_prompts(prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is to be said of a model without loading it.

    Attributes:
        name: as typed, lower case with dashes.
        kind: what it can do.
        family: groups variants (``titok``).
        summary: one line for ``list models``.
        title: as shown in tables (``Layton-H*``); the name if empty.
        sizes_px: image sizes it was made for; empty means any.
        prompted_by: what a generator draws from; says nothing of a tokenizer.
        num_tokens: codes an image at the first of ``sizes_px``; None for continuous and codecs.
        codebook_size: entries; None likewise.
        bits_per_image: None where it varies by image.
        encoder_params, decoder_params: number of parameters (a generator's go to the decoder's).
        weights: names in the weights registry that loading needs.
        training_data: what it was trained on.
        licence: of the weights, SPDX where one exists.
        source: address of the paper or repository.
        is_stochastic: whether the decoder draws noise from its seeds.
        num_inference_steps, nfe: of a diffusion or consistency decoder at its defaults.
        cfg_scale: guidance w of a generator (1 = off).
        aliases: other names for the same model.
        notes: anything a reader of its numbers must know.
    """

    name: str
    kind: ModelKind
    family: str
    summary: str
    title: str = ""
    sizes_px: tuple[int, ...] = ()
    prompted_by: PromptedBy = "text"
    num_tokens: int | None = None
    codebook_size: int | None = None
    bits_per_image: float | None = None
    encoder_params: int | None = None
    decoder_params: int | None = None
    weights: tuple[str, ...] = ()
    training_data: str = ""
    licence: str = ""
    source: str = ""
    is_stochastic: bool = False
    num_inference_steps: int | None = None
    nfe: int | None = None
    cfg_scale: float | None = None
    aliases: tuple[str, ...] = ()
    notes: str = ""

    def side_px(self, asked_px: int | None) -> int:
        """Return the side of the model's images: the one asked for, or the first of its card.

        Args:
            asked_px: what the suite or the user asks for; None leaves it to the model.

        Raises:
            UserError: the model was not made for that size, or nothing says how large its images
                are.
        """
        if asked_px is None and not self.sizes_px:
            raise UserError(
                f"model '{self.name}'",
                "neither its card nor the suite gives the size of its images",
                "Add sizes_px to its card, or choose a suite with a size.",
            )
        if asked_px is None:
            return self.sizes_px[0]
        if self.sizes_px and asked_px not in self.sizes_px:
            sizes = " and ".join(f"{size} px" for size in self.sizes_px)
            raise UserError(
                f"model '{self.name}'",
                f"the model was made for {sizes}, not for {asked_px} px",
                f"Run it behind a resize adapter: {self.name}@{self.sizes_px[0]}.",
            )
        return asked_px


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadContext:
    """Argument of a plugin's load function.

    Attributes:
        device: device to run on, as torch writes it (``cpu``, ``cuda:0``, ``mps``).
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        weights: returns the path of installed weights; raises MissingWeightsError.
        options: options of the spec, with the user's values instead of the defaults.
    """

    device: str
    dtype: str
    weights: Callable[[str], Path]
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A card and how to load the model.

    Attributes:
        card: what is known without loading the model.
        load: builds the model. It imports torch only when it is called.
        options: settings that a user may change (``steps``), with their defaults. A value has the
            type of its default.
        files: returns the files that the model is made of, apart from registered weights, without
            loading it. The record holds the digest of their contents. Raises UserError if one is
            missing.
    """

    card: ModelCard
    load: Callable[[LoadContext], Tokenizer | Generator]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    files: Callable[[], Sequence[Path]] = tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPattern:
    """A family of models named by a pattern (``jpeg-q10``, ``webp@448B``).

    Attributes:
        pattern: must match the whole name.
        examples: names that ``list models`` shows.
        summary: one line for ``list models``.
        make_spec: returns the spec of a matching name; raises UserError if there is none.
        kind: what its models do.
    """

    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    summary: str
    make_spec: Callable[[re.Match[str]], ModelSpec]
    kind: ModelKind = "tokenizer"
