"""The values that flow from stage to stage, each frozen; see the picture in docs/architecture.md.

Axes: B batch, N codes per image, H height, W width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

FailureStage = Literal["read", "encode", "decode", "generate", "metrics"]

_IMAGE_KEY = re.compile(r"(?P<prompt>.*)#(?P<index>[0-9]{1,9})", re.DOTALL)


def image_key(prompt: str, index: int) -> str:
    """Return the sample key of an image of a prompt: ``p#0``, ``p#1`` and so on."""
    return f"{prompt}#{index}"


def split_image_key(key: str) -> tuple[str, int]:
    """Return the prompt's key and the number of the image: the inverse of ``image_key``.

    The last ``#`` counts, so a prompt's key may contain others. A key without a number is that of
    a prompt with one image, number 0.
    """
    match = _IMAGE_KEY.fullmatch(key)
    return (match["prompt"], int(match["index"])) if match else (key, 0)


def prompt_key(key: str) -> str:
    """Return the key of the prompt that a sample was drawn for."""
    return split_image_key(key)[0]


Stage = Literal["text", "tokens", "denoise", "decode"]
"""A part of a generator's work that is timed by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One sample of a data set, before anything is read.

    Attributes:
        key: unique and stable name within the data set, independent of where the data lies
            (``ILSVRC2012_val_00000001``, ``000000000139``).
        locator: what the data set's own ``read`` needs to find the bytes; opaque to everybody else.
        label: class index, where the data set has classes.
        captions: the image's captions, or the prompt of a generation data set.
    """

    key: str
    locator: Hashable = None
    label: int | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A sample that could not be used, and why."""

    key: str
    stage: FailureStage
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatch:
    """Images of one size, preprocessed by the suite's protocol.

    Attributes:
        items: the samples, in the order of ``images``.
        images: uint8 RGB (B, 3, H, W), 0..255; (B, 3, 0, 0) where there are prompts alone.
        failures: samples that fell out while this batch was read.
        upscaled: keys of images that were smaller than asked and had to be enlarged.
    """

    items: tuple[Item, ...]
    images: Tensor
    failures: tuple[Failure, ...] = ()
    upscaled: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The samples' keys, in order."""
        return tuple(item.key for item in self.items)

    @property
    def has_images(self) -> bool:
        """Whether there is a picture to each sample, not a prompt alone."""
        return self.images.numel() > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """What a tokenizer's encoder hands to its decoder: exactly one of three kinds.

    Attributes:
        size_px: (H, W) of the images that were encoded.
        codes: int64 (B, N) indices into a codebook of ``codebook_size`` entries.
        codebook_size: number of entries, with ``codes``.
        latents: floating (B, …) continuous latents; their dtype counts for the bits.
        payloads: one byte string an image (codecs).
    """

    size_px: tuple[int, int]
    codes: Tensor | None = None
    codebook_size: int | None = None
    latents: Tensor | None = None
    payloads: tuple[bytes, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse none or several kinds at once."""
        kinds = [self.codes is not None, self.latents is not None, self.payloads is not None]
        if sum(kinds) != 1:
            raise ValueError("Codes holds exactly one of codes, latents and payloads")
        if (self.codes is None) != (self.codebook_size is None):
            raise ValueError("codes and codebook_size come together")

    def __getitem__(self, part: slice) -> Codes:
        """Return the codes of some of the images."""
        return replace(
            self,
            codes=None if self.codes is None else self.codes[part],
            latents=None if self.latents is None else self.latents[part],
            payloads=None if self.payloads is None else self.payloads[part],
        )

    def __len__(self) -> int:
        """Number of images."""
        held = next(v for v in (self.codes, self.latents, self.payloads) if v is not None)
        return len(held)

    def bits(self) -> tuple[float, ...]:
        """Bits of each image: N·log2(codebook_size), or the latents' or payload's actual bits."""
        if self.codes is not None and self.codebook_size is not None:
            return (self.codes.shape[1] * math.log2(self.codebook_size),) * len(self.codes)
        if self.latents is not None:
            per_image = self.latents[0].numel() * self.latents.element_size() * 8
            return (float(per_image),) * len(self.latents)
        assert self.payloads is not None
        return tuple(8.0 * len(payload) for payload in self.payloads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a generator draws: a text, or a class of its training set."""

    key: str
    text: str | None = None
    class_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """What every metric sees: reference and candidate after rounding to uint8.

    A candidate is a reconstruction of its reference, or a sample drawn for a prompt.

    Attributes:
        keys: one a sample.
        candidates: uint8 RGB (B, 3, H, W).
        references: uint8 RGB (B, 3, H, W); None where there is no paired image (generation).
        codes: what the decoder saw; None for generators and ready-made folders.
        prompts: the prompts of a generation suite.
        demands: what each picture must show, as JSON in the form of the suite's judge. Empty where
            the judge knows the suite's prompts by their keys.
        decoded: the model's float images before rounding, (B, 3, H, W) on its device; None where
            no model was run.
        redecoded: the same samples decoded again, once for each further decode seed.
        memo: values that several metrics read, computed once a batch by ``shared``.
    """

    keys: tuple[str, ...]
    candidates: Tensor
    references: Tensor | None = None
    codes: Codes | None = None
    prompts: tuple[Prompt, ...] = ()
    demands: tuple[str, ...] = ()
    decoded: Tensor | None = None
    redecoded: tuple[ScoredBatch, ...] = ()
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def __getitem__(self, part: slice) -> ScoredBatch:
        """Return some of the samples."""
        return replace(
            self,
            keys=self.keys[part],
            candidates=self.candidates[part],
            references=None if self.references is None else self.references[part],
            codes=None if self.codes is None else self.codes[part],
            prompts=self.prompts[part],
            demands=self.demands[part],
            decoded=None if self.decoded is None else self.decoded[part],
            redecoded=tuple(other[part] for other in self.redecoded),
            memo={},
        )

    def samples(self) -> Iterator[ScoredBatch]:
        """Yield each sample as a batch of its own."""
        return (self[i : i + 1] for i in range(len(self)))

    def paired_references(self) -> Tensor:
        """The references; ValueError where there are none."""
        if self.references is None:
            raise ValueError("this metric needs a reference image for every sample")
        return self.references

    def shared(self, name: Hashable, compute: Callable[[], T]) -> T:
        """The value of that name, computed by the first metric that asks for it."""
        if name not in self.memo:
            self.memo[name] = compute()
        value: T = self.memo[name]
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A metric over a set of samples.

    Attributes:
        value: None where it is not defined; ``note`` then says why.
        low, high: 95 % interval, where one is defined.
        n: samples it is over.
        note: anything a reader must know beside the number ("biased, n=32").
        std: spread over the metric's own repeats (KID subsets, IS splits), where it has any.
        influence: of a metric of sets, by sample: the derivative of the value by the sample's
            weight, times n. To first order a resample has the value plus the mean of its samples'
            influences, which is what a paired comparison of two runs needs. Empty where unknown.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    std: float | None = None
    note: str = ""
    influence: Mapping[str, float] = field(default_factory=dict, repr=False)
