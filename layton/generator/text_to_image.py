"""Texts or classes → image codes → images: LaytonGen and LlamaGen share these parts.

Axes: B images, N codes per image.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from layton.errors import ConfigError
from layton.generator.codes import CodeGenerator, Conditions, check_conditions, check_seeds
from layton.generator.config import GPTConfig, Guidance, Sampling
from layton.generator.text import T5TextEncoder, TextEncoder
from layton.generator.transformer import GPT
from layton.tokenizer import Tokenizer, VQModel
from layton.weights import pack_linears

__all__ = ["ClassToImage", "CodeDecoder", "LaytonDecoder", "TextToImage", "VQImageDecoder"]


Watch = Callable[[Literal["text", "tokens", "decode"]], AbstractContextManager[Any]]
"""Stage → a context that the stage runs in; for timing."""


class CodeDecoder(Protocol):
    """Turns image codes into images.

    Attributes:
        codebook_size: number of codes it knows.
        num_tokens: codes per image.
    """

    codebook_size: int
    num_tokens: int

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """int64 (B, N), one seed per image → float32 images (B, 3, H, W) in [-1, 1]."""


class LaytonDecoder:
    """The latent consistency decoder of a Layton tokenizer.

    Args:
        tokenizer: whose decoder to use.
        steps: consistency steps; None is the tokenizer's own number.
        cond_scale: factor on the ControlNet copy's output; the published generator uses 0.8.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, steps: int | None = None, cond_scale: float | None = 0.8
    ) -> None:
        self.tokenizer = tokenizer
        self.steps = steps
        self.cond_scale = cond_scale
        config = tokenizer.config
        self.codebook_size = config.encoder.codebook_size
        self.num_tokens = config.tokens_at(config.encode_px)

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """See `CodeDecoder.decode`; the seeds draw the decoder's noise."""
        # convolutions may round differently in another batch, and batches are not faster on a CPU
        count = 1 if codes.device.type == "cpu" else len(codes)
        parts = zip(codes.split(count), range(0, len(codes), count), strict=True)
        images = [
            self.tokenizer.decode(
                part,
                generator=list(seeds[start : start + count]),
                steps=self.steps,
                cond_scale=self.cond_scale,
            )
            for part, start in parts
        ]
        return torch.cat(images)


class VQImageDecoder:
    """The decoder of a VQ tokenizer over a square token grid; draws no noise.

    Args:
        model: the tokenizer.
        grid_side: side of the token grid.
    """

    def __init__(self, model: VQModel, *, grid_side: int) -> None:
        self.model = model
        self.grid_side = grid_side
        self.codebook_size = model.config.codebook_size
        self.num_tokens = grid_side**2

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:  # noqa: ARG002 no noise
        """See `CodeDecoder.decode`."""
        grid = codes.view(len(codes), self.grid_side, self.grid_side)
        # one by one: convolutions may round differently in another batch
        images = [self.model.decode(image[None]) for image in grid]
        return torch.cat(images).float().clamp(-1, 1)


class _ToImage:
    """The parts that texts and classes share: draw codes, then decode them."""

    _condition: ClassVar[str]

    def __init__(
        self,
        gpt: GPT,
        decoder: CodeDecoder,
        *,
        guidance: Guidance | None = None,
        sampling: Sampling | None = None,
        compiled: bool = False,
        watch: Watch = nullcontext,
    ) -> None:
        if gpt.config.condition != self._condition:
            raise ConfigError(
                "transformer", f"is not {self._condition}-conditional", "Load another one."
            )
        check_decoder(gpt.config, decoder)
        if not compiled:
            pack_linears(gpt)
        self.codes = CodeGenerator(gpt.eval(), compiled=compiled)
        self.decoder = decoder
        self.guidance = guidance
        self.sampling = sampling
        self._watch = watch

    def _draw(
        self,
        conditions: Conditions,
        condition_of: Sequence[int],
        seeds: Sequence[int],
        guidance: Guidance | None,
        sampling: Sampling | None,
    ) -> Tensor:
        with self._watch("tokens"):
            codes = self.codes.generate(
                conditions,
                seeds=seeds,
                condition_of=condition_of,
                guidance=guidance or self.guidance,
                sampling=sampling or self.sampling,
            )
        with self._watch("decode"):
            return self.decoder.decode(codes, seeds)


class ClassToImage(_ToImage):
    """Draws images of classes.

    Args:
        gpt: a class-conditional transformer in evaluation mode. On a CPU its linear layers are
            packed in place, and it can then only be run.
        decoder: codes → images.
        guidance: default of every call; None is off.
        sampling: default of every call; None samples from the plain distribution.
        compiled: compile the decode step; see `CodeGenerator`.
        watch: gets a stage's name, returns the context in which the stage runs.

    Raises:
        ConfigError: transformer and decoder do not fit.
    """

    _condition = "class"

    def check(self, classes: Sequence[int]) -> None:
        """Raise what `generate` would for these classes, without drawing."""
        check_conditions(torch.tensor(classes, dtype=torch.int64), self.codes.model.config)

    def generate(
        self,
        classes: Sequence[int],
        *,
        seeds: Sequence[int],
        guidance: Guidance | None = None,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw one image per class; it depends only on its class and seed.

        Args:
            classes: B class indices.
            seeds: one per image.
            guidance: None is this generator's own.
            sampling: likewise.

        Returns:
            float32 images (B, 3, H, W) in [-1, 1].

        Raises:
            PromptError: a class that does not exist, or not one seed per image.
        """
        indices = torch.tensor(classes, dtype=torch.int64)
        return self._draw(indices, range(len(classes)), seeds, guidance, sampling)


class TextToImage(_ToImage):
    """Draws images from texts.

    Args:
        text_encoder: texts → features.
        gpt: a text-conditional transformer; this and the rest as for `ClassToImage`.
    """

    _condition = "text"

    def __init__(
        self,
        text_encoder: TextEncoder,
        gpt: GPT,
        decoder: CodeDecoder,
        *,
        guidance: Guidance | None = None,
        sampling: Sampling | None = None,
        compiled: bool = False,
        watch: Watch = nullcontext,
    ) -> None:
        super().__init__(
            gpt, decoder, guidance=guidance, sampling=sampling, compiled=compiled, watch=watch
        )
        self.text_encoder = text_encoder

    def check(self, prompts: Sequence[str]) -> None:
        """Raise what `generate` would for these prompts, without drawing."""
        self.text_encoder.check(prompts)

    def notes(self) -> list[str]:
        """Return what a reader of the results must know: how many prompts were cut."""
        encoder = self.text_encoder
        if not isinstance(encoder, T5TextEncoder) or not encoder.cut:
            return []
        count, noun = len(encoder.cut), "prompt was" if len(encoder.cut) == 1 else "prompts were"
        return [f"{count} {noun} longer than {encoder.max_tokens} tokens and cut there"]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        guidance: Guidance | None = None,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw one image per prompt; it depends only on its prompt and seed.

        For several images of one prompt, repeat it with other seeds. It is encoded once.

        Args:
            prompts: B texts.
            seeds: one per image.
            guidance: None is this generator's own.
            sampling: likewise.

        Returns:
            float32 images (B, 3, H, W) in [-1, 1].

        Raises:
            PromptError: a prompt that is empty or too long, or not one seed per image.
        """
        check_seeds(len(prompts), seeds)
        distinct = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        with self._watch("text"):
            features = self.text_encoder.encode(list(distinct))
        owners = [distinct[prompt] for prompt in prompts]
        return self._draw(features, owners, seeds, guidance, sampling)


def check_decoder(config: GPTConfig, decoder: CodeDecoder) -> None:
    """Refuse a decoder that does not know the transformer's codes.

    Raises:
        ConfigError: another codebook, or another number of tokens.
    """
    ours = (config.num_tokens, config.codebook_size)
    theirs = (decoder.num_tokens, decoder.codebook_size)
    if ours != theirs:
        raise ConfigError(
            "decoder",
            f"draws {theirs[0]} tokens of {theirs[1]} codes, the transformer makes {ours[0]} of"
            f" {ours[1]}",
            "Load the tokenizer that the transformer was trained on.",
        )
