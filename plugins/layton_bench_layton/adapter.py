"""A layton tokenizer behind the harness's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import layton
from layton import LaytonError, MissingPartError
from layton_bench import Codes, UserError, as_user_error, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from layton_bench import LoadContext


class LaytonTokenizer:
    """Images to codes and back; on a CPU one image at a time.

    Batches are not faster on a CPU. One by one, an image has the same bits in any batch.

    Args:
        tokenizer: optimised for inference, on its device.
        steps: model calls.
        cond_scale: factor on the ControlNet residuals.
        encode_px: side for the encoder.
    """

    def __init__(
        self, tokenizer: layton.Tokenizer, *, steps: int, cond_scale: float, encode_px: int
    ) -> None:
        self.tokenizer = tokenizer
        self.steps = steps
        self.cond_scale = cond_scale
        self.encode_px = encode_px
        self.device = tokenizer.device

    def encode(self, images: Tensor) -> Codes:
        """Float images (B, 3, S, S) in [-1, 1] → codes (B, N); raises UserError for another S."""
        with as_user_error(LaytonError):
            codes = [
                self.tokenizer.encode(part.to(self.device), encode_px=self.encode_px)
                for part in images.split(self._at_once(len(images)))
            ]
        height, width = images.shape[-2:]
        return Codes(
            codes=torch.cat(codes),
            codebook_size=self.tokenizer.config.encoder.codebook_size,
            size_px=(height, width),
        )

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Codes (B, N) → float32 images (B, 3, S, S) in [-1, 1], each from its own seed."""
        assert codes.codes is not None
        count = self._at_once(len(codes))
        with as_user_error(LaytonError):
            images = [
                self.tokenizer.decode(
                    part.to(self.device),
                    generator=list(seeds[i * count : i * count + len(part)]),
                    steps=self.steps,
                    cond_scale=self.cond_scale,
                )
                for i, part in enumerate(codes.codes.split(count))
            ]
        return torch.cat(images)

    def _at_once(self, batch: int) -> int:
        return 1 if self.device.type == "cpu" else max(1, batch)


def load_published(name: str, file: str, lora: str | None, context: LoadContext) -> LaytonTokenizer:
    """Load a published model from its installed file; raise UserError if it does not fit.

    Args:
        name: the model.
        file: the weights entry of its tokenizer.
        lora: the weights entry of the acceleration LoRA to merge, if any.
        context: device, dtype, options, and the folder of weights.
    """
    source = context.weights(file)
    extra = None if lora is None else context.weights(lora)

    def load(sdxl: Path | None) -> layton.Tokenizer:
        return layton.Tokenizer.from_pretrained(
            source,
            name=name,
            sdxl=sdxl,
            lora=extra,
            device=context.device,
            dtype=torch_dtype(context.dtype),
        )

    with as_user_error(LaytonError):
        try:
            tokenizer = load(None)
        except MissingPartError:  # only the trained part: SDXL completes it
            tokenizer = load(context.weights("sdxl-unet-vae"))
        return _adapted(tokenizer, context)


def load_shipped(folder: Path, context: LoadContext) -> LaytonTokenizer:
    """Load a model from the folders of models."""
    with as_user_error(LaytonError):
        tokenizer = layton.Tokenizer.from_pretrained(
            folder, device=context.device, dtype=torch_dtype(context.dtype)
        )
        return _adapted(tokenizer, context)


def _adapted(tokenizer: layton.Tokenizer, context: LoadContext) -> LaytonTokenizer:
    options = context.options
    steps, encode_px = int(options["steps"]), int(options["encode_px"])
    tokenizer.timesteps(steps)  # raises for an impossible number of steps
    choices = tokenizer.config.encode_px_choices
    if encode_px not in choices:
        raise UserError(
            f"option encode_px={encode_px}",
            "the model does not have this encoder size",
            f"choose one of {', '.join(map(str, choices))}",
        )
    return LaytonTokenizer(
        tokenizer.optimize_for_inference(),
        steps=steps,
        cond_scale=float(options["cond_scale"]),
        encode_px=encode_px,
    )
