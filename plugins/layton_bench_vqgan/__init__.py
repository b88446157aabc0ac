"""VQGAN of taming-transformers and latent-diffusion, from their published checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layton_bench import (
    LoadContext,
    ModelCard,
    ModelSpec,
    WeightsEntry,
    WeightsFile,
    hookimpl,
)
from layton_bench_vqgan.variants import VARIANTS

if TYPE_CHECKING:
    from pathlib import Path

    from layton_bench import GridTokenizer

_HEIBOX = "https://heibox.uni-heidelberg.de/d/{}/files/?p=%2Fckpts%2Flast.ckpt&dl=1"
_OMMER = "https://ommer-lab.com/files/latent-diffusion/{}.zip"
_TAMING = "https://github.com/CompVis/taming-transformers"
_LATENT = "https://github.com/CompVis/latent-diffusion"
_SIZES_PX = (256, 384, 512, 1024)
_GUMBEL_NOTE = (
    "codes are the most probable ones; the official code draws a Gumbel sample, even in evaluation"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """A published checkpoint; the codebook counts with the decoder."""

    title: str
    file: WeightsFile
    source: str
    training_data: str
    encoder_params: int
    decoder_params: int


_PUBLISHED = {
    "vqgan-f16-1024": _Published(
        title="VQGAN f16, 1,024 codes",
        file=WeightsFile(path="last.ckpt", url=_HEIBOX.format("8088892a516d4e3baf92")),
        source=_TAMING,
        training_data="ImageNet",
        encoder_params=29_363_968,
        decoder_params=42_777_731,
    ),
    "vqgan-f16-16384": _Published(
        title="VQGAN f16, 16,384 codes",
        file=WeightsFile(path="last.ckpt", url=_HEIBOX.format("a7530b09fed84f80a887")),
        source=_TAMING,
        training_data="ImageNet",
        encoder_params=29_363_968,
        decoder_params=46_709_891,
    ),
    "vqgan-f8-256": _Published(
        title="VQGAN f8, 256 codes",
        file=WeightsFile(path="vq-f8-n256.zip", url=_OMMER.format("vq-f8-n256")),
        source=_LATENT,
        training_data="OpenImages",
        encoder_params=27_397_784,
        decoder_params=40_254_999,
    ),
    "vqgan-f8-16384": _Published(
        title="VQGAN f8, 16,384 codes",
        file=WeightsFile(path="vq-f8.zip", url=_OMMER.format("vq-f8")),
        source=_LATENT,
        training_data="OpenImages",
        encoder_params=27_397_784,
        decoder_params=40_319_511,
    ),
    "vqgan-gumbel-f8-8192": _Published(
        title="VQGAN Gumbel f8, 8,192 codes",
        file=WeightsFile(path="last.ckpt", url=_HEIBOX.format("2e5662443a6b4307b470")),
        source=_TAMING,
        training_data="OpenImages",
        encoder_params=28_516_864,
        decoder_params=40_479_107,
    ),
}


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the five models."""
    for name in VARIANTS:
        register(ModelSpec(card=_card(name), load=partial(_load, name)))


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register one checkpoint per model, under its name; no digests are published."""
    for name, known in _PUBLISHED.items():
        register(
            WeightsEntry(
                name=name,
                files=(known.file,),
                licence="MIT",
                used_by=(name,),
                summary=known.title,
                check=partial(_check, name),
            )
        )


def _check(name: str, path: Path) -> None:
    """Raise UserError for a file that does not hold that model."""
    from layton.errors import LaytonError
    from layton.weights import check_model
    from layton_bench import as_user_error
    from layton_bench_vqgan.model import VQGAN

    with as_user_error(LaytonError):
        check_model(lambda: VQGAN(VARIANTS[name]), path, ignore=("loss.",))


def _card(name: str) -> ModelCard:
    known, config = _PUBLISHED[name], VARIANTS[name]
    num_tokens = (_SIZES_PX[0] // config.downsample_factor) ** 2
    return ModelCard(
        name=name,
        kind="tokenizer",
        family="vqgan",
        summary=f"{known.title}: convolutions and attention around a codebook (arXiv 2012.09841)",
        title=known.title,
        sizes_px=_SIZES_PX,
        num_tokens=num_tokens,
        codebook_size=config.codebook_size,
        bits_per_image=num_tokens * math.log2(config.codebook_size),
        encoder_params=known.encoder_params,
        decoder_params=known.decoder_params,
        weights=(name,),
        training_data=known.training_data,
        licence="MIT",
        source=known.source,
        notes="trained at 256 px" + (f"; {_GUMBEL_NOTE}" if config.is_gumbel else ""),
    )


def _load(name: str, context: LoadContext) -> GridTokenizer:
    """Load the model from its checkpoint; raise UserError if the file holds another model."""
    import torch

    from layton.errors import LaytonError
    from layton.tokenizer.folding import fold_upsampling
    from layton.weights.checkpoint import load_model
    from layton_bench import GridTokenizer, as_user_error, torch_dtype
    from layton_bench_vqgan.model import VQGAN

    config, dtype = VARIANTS[name], torch_dtype(context.dtype)
    with as_user_error(LaytonError):
        # the file also holds training's losses and discriminator
        model = load_model(lambda: VQGAN(config), context.weights(name), ignore=("loss.",))
    model.to(context.device, dtype)
    fold_upsampling(model)
    model.to(memory_format=torch.channels_last)
    return GridTokenizer(
        model,
        codebook_size=config.codebook_size,
        downsample_factor=config.downsample_factor,
        dtype=dtype,
    )
