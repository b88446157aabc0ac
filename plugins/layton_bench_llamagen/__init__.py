"""LlamaGen (arXiv 2406.06525): the tokenizers VQ-8 and VQ-16 here, generators beside them."""

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
    hub_file,
)
from layton_bench_llamagen import generators

if TYPE_CHECKING:
    from pathlib import Path

    from layton.tokenizer import VQConfig, VQModel
    from layton_bench import GridTokenizer

_CODEBOOK_SIZE = 16384
_C2I, _T2I = "FoundationVision/LlamaGen", "peizesun/llamagen_t2i"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """A tokenizer; the codebook counts with the decoder."""

    title: str
    downsample_factor: int
    file: WeightsFile
    training_data: str
    encoder_params: int
    decoder_params: int


_PUBLISHED = {
    "llamagen-16": _Published(
        title="LlamaGen VQ-16",
        downsample_factor=16,
        file=hub_file(_C2I, "vq_ds16_c2i.pt"),
        training_data="ImageNet",
        encoder_params=29_300_232,
        decoder_params=42_583_171,
    ),
    "llamagen-8": _Published(
        title="LlamaGen VQ-8",
        downsample_factor=8,
        file=hub_file(
            _C2I,
            "vq_ds8_c2i.pt",
            sha256="c70d2966ec012f378793214ff0755087e7c5fe6f035b469995143325dca4a4e3",
        ),
        training_data="ImageNet",
        encoder_params=28_561_288,
        decoder_params=41_548_547,
    ),
    "llamagen-16-t2i": _Published(
        title="LlamaGen VQ-16 t2i",
        downsample_factor=16,
        file=hub_file(_T2I, "vq_ds16_t2i.pt"),
        training_data="LAION-COCO (50M), 10M internal images",
        encoder_params=29_300_232,
        decoder_params=42_583_171,
    ),
}


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the three tokenizers, and every generator."""
    for name in _PUBLISHED:
        register(ModelSpec(card=_card(name), load=partial(_load, name)))
    for spec in generators.SPECS:
        register(spec)


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register one checkpoint per model, under its name, and the generators' text encoder."""
    for entry in generators.WEIGHTS:
        register(entry)
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
    """Raise UserError for a file that does not hold that tokenizer."""
    from layton.errors import LaytonError
    from layton.tokenizer import VQModel
    from layton.weights import check_model
    from layton_bench import as_user_error

    with as_user_error(LaytonError):
        check_model(lambda: VQModel(_config(name)), path)


def _config(name: str) -> VQConfig:
    from layton.tokenizer.config import VQ_8, VQ_16

    return VQ_16 if _PUBLISHED[name].downsample_factor == 16 else VQ_8


def _card(name: str) -> ModelCard:
    known = _PUBLISHED[name]
    num_tokens = (256 // known.downsample_factor) ** 2
    return ModelCard(
        name=name,
        kind="tokenizer",
        family="llamagen",
        summary=f"{known.title}: VQGAN with an l2-normalised 8-d codebook (arXiv 2406.06525)",
        title=known.title,
        sizes_px=(256, 384, 512, 1024),
        num_tokens=num_tokens,
        codebook_size=_CODEBOOK_SIZE,
        bits_per_image=num_tokens * math.log2(_CODEBOOK_SIZE),
        encoder_params=known.encoder_params,
        decoder_params=known.decoder_params,
        weights=(name,),
        training_data=known.training_data,
        licence="MIT",
        source="https://github.com/FoundationVision/LlamaGen",
        notes="trained at 256 px",
    )


def _load(name: str, context: LoadContext) -> GridTokenizer:
    """Load the model from its checkpoint; raise UserError if the file holds another model."""
    from layton_bench import GridTokenizer, torch_dtype

    return GridTokenizer(
        load_vq(name, context),
        codebook_size=_CODEBOOK_SIZE,
        downsample_factor=_PUBLISHED[name].downsample_factor,
        dtype=torch_dtype(context.dtype),
    )


def load_vq(name: str, context: LoadContext) -> VQModel:
    """Load the tokenizer, folded for inference; raise UserError for a wrong file."""
    import torch

    from layton.errors import LaytonError
    from layton.tokenizer.folding import fold_upsampling
    from layton.tokenizer.vq_model import VQModel
    from layton.weights.checkpoint import load_model
    from layton_bench import as_user_error, torch_dtype

    with as_user_error(LaytonError):
        model = load_model(lambda: VQModel(_config(name)), context.weights(name))
    model.to(context.device, torch_dtype(context.dtype))
    fold_upsampling(model)
    model.to(memory_format=torch.channels_last)
    return model
