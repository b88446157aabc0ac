"""TiTok (arXiv 2406.07550) and TA-TiTok (arXiv 2501.07730), from their published checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layton_bench import (
    LoadContext,
    ModelCard,
    ModelSpec,
    WeightsEntry,
    hookimpl,
    hub_file,
)
from layton_bench_titok.variants import VARIANTS, TiTokConfig

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from layton_bench_titok.tokenizer import TiTokTokenizer

_CLIP = "clip-vit-l-14-336"  # registered by the harness, whose metrics use its image tower
_CAPTION = "A photo."
_TEXT_NOTE = (
    "all images are decoded with one caption (option caption); for the published rFID, the"
    " decoder gets each image's class, as 'A photo of a {class}.'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """Address and size of a model; codebook and second stage count with the decoder."""

    repo: str
    encoder_params: int
    decoder_params: int


_PUBLISHED = {
    "titok-l-32": _Published(
        repo="yucornetto/tokenizer_titok_l32_imagenet",
        encoder_params=303_442_956,
        decoder_params=337_611_779,
    ),
    "titok-b-64": _Published(
        repo="yucornetto/tokenizer_titok_b64_imagenet",
        encoder_params=85_953_804,
        decoder_params=118_860_291,
    ),
    "titok-s-128": _Published(
        repo="yucornetto/tokenizer_titok_s128_imagenet",
        encoder_params=25_884_172,
        decoder_params=57_790_467,
    ),
    "titok-bl-64": _Published(
        repo="yucornetto/tokenizer_titok_bl64_vq8k_imagenet",
        encoder_params=85_993_792,
        decoder_params=304_022_356,
    ),
    "titok-bl-128": _Published(
        repo="yucornetto/tokenizer_titok_bl128_vq8k_imagenet",
        encoder_params=86_092_096,
        decoder_params=304_087_892,
    ),
    "titok-sl-256": _Published(
        repo="yucornetto/tokenizer_titok_sl256_vq8k_imagenet",
        encoder_params=26_041_920,
        decoder_params=304_218_964,
    ),
    "titok-vae-ll-32": _Published(
        repo="yucornetto/tokenizer_titok_ll32_vae_c16_imagenet",
        encoder_params=303_463_456,
        decoder_params=303_416_148,
    ),
    "titok-vae-bl-64": _Published(
        repo="yucornetto/tokenizer_titok_bl64_vae_c16_imagenet",
        encoder_params=85_969_184,
        decoder_params=303_448_916,
    ),
    "titok-vae-bl-128": _Published(
        repo="yucornetto/tokenizer_titok_bl128_vae_c16_imagenet",
        encoder_params=86_067_488,
        decoder_params=303_514_452,
    ),
    "tatitok-bl-32": _Published(
        repo="turkeyju/tokenizer_tatitok_bl32_vq",
        encoder_params=85_944_640,
        decoder_params=304_855_892,
    ),
    "tatitok-bl-64": _Published(
        repo="turkeyju/tokenizer_tatitok_bl64_vq",
        encoder_params=85_993_792,
        decoder_params=304_888_660,
    ),
    "tatitok-bl-128": _Published(
        repo="turkeyju/tokenizer_tatitok_bl128_vq",
        encoder_params=86_092_096,
        decoder_params=304_954_196,
    ),
    "tatitok-vae-bl-32": _Published(
        repo="turkeyju/tokenizer_tatitok_bl32_vae",
        encoder_params=85_920_032,
        decoder_params=304_282_452,
    ),
    "tatitok-vae-bl-64": _Published(
        repo="turkeyju/tokenizer_tatitok_bl64_vae",
        encoder_params=85_969_184,
        decoder_params=304_315_220,
    ),
    "tatitok-vae-sl-128": _Published(
        repo="turkeyju/tokenizer_tatitok_sl128_vae",
        encoder_params=25_894_432,
        decoder_params=304_380_756,
    ),
}


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register all fifteen models; the text-aware ones take a caption."""
    for name, config in VARIANTS.items():
        options: Mapping[str, str] = {"caption": _CAPTION} if config.text_length else {}
        register(ModelSpec(card=_card(name, config), load=partial(_load, name), options=options))


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register one checkpoint per model, under its name."""
    for name, known in _PUBLISHED.items():
        register(
            WeightsEntry(
                name=name,
                files=(hub_file(known.repo, "model.safetensors"),),
                licence="Apache-2.0",
                used_by=(name,),
                summary=_title(name),
                check=partial(_check, name),
            )
        )


def _check(name: str, path: Path) -> None:
    """Raise UserError for a file that does not hold that model."""
    from layton.errors import LaytonError
    from layton.weights import check_model
    from layton_bench import as_user_error
    from layton_bench_titok.model import TiTok

    with as_user_error(LaytonError):
        check_model(lambda: TiTok(VARIANTS[name]), path)


def _title(name: str) -> str:
    family, *parts = name.split("-")
    return "-".join([{"titok": "TiTok", "tatitok": "TA-TiTok"}[family], *map(str.upper, parts)])


def _card(name: str, config: TiTokConfig) -> ModelCard:
    known, size = _PUBLISHED[name], config.codebook_size
    kind = f"{size:,} codes" if size else f"{config.codebook_dim}-d continuous tokens"
    is_text_aware = config.text_length > 0
    notes = [] if size else ["tokens are posterior means; the published script draws samples"]
    if is_text_aware:
        notes.append(_TEXT_NOTE)
    return ModelCard(
        name=name,
        kind="tokenizer",
        family=name.partition("-")[0],
        summary=f"{_title(name)}: transformer, {config.num_tokens} tokens of {kind}",
        title=_title(name),
        sizes_px=(config.size_px,),
        num_tokens=config.num_tokens if size else None,
        codebook_size=size,
        bits_per_image=config.num_tokens * math.log2(size) if size else None,
        encoder_params=known.encoder_params,
        decoder_params=known.decoder_params,
        weights=(name, _CLIP) if is_text_aware else (name,),
        training_data="DataComp, with captions" if is_text_aware else "ImageNet",
        licence="Apache-2.0",
        source="https://github.com/bytedance/1d-tokenizer",
        notes="; ".join(notes),
    )


def _load(name: str, context: LoadContext) -> TiTokTokenizer:
    """Load the model from its checkpoint; raise UserError if the file holds another model."""
    import torch

    from layton.errors import LaytonError
    from layton.weights.checkpoint import load_model
    from layton_bench import as_user_error, torch_dtype
    from layton_bench_titok.model import TiTok
    from layton_bench_titok.tokenizer import TiTokTokenizer

    config, dtype = VARIANTS[name], torch_dtype(context.dtype)
    with as_user_error(LaytonError):
        model = load_model(lambda: TiTok(config), context.weights(name))
    model.to(context.device, dtype)
    model.optimize_for_inference()
    model.to(memory_format=torch.channels_last)
    text = _text(config, context)
    return TiTokTokenizer(model, None if text is None else text.to(context.device, dtype))


def _text(config: TiTokConfig, context: LoadContext) -> Tensor | None:
    if not config.text_length:
        return None
    from layton_bench_titok.text import text_features

    caption = str(context.options["caption"])
    return text_features(caption, context.weights(_CLIP), length=config.text_length)
