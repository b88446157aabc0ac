"""Layton (arXiv 2503.08377) as a plugin: cards of the published and the shipped models."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from layton.tokenizer import NAMED_MODELS, PUBLISHED, TokenizerConfig
from layton.weights.shipped import PACKAGED
from layton_bench import ModelCard, ModelSpec, WeightsEntry, WeightsFile, hookimpl, hub_file
from layton_bench_layton import generators, shipped_generators
from layton_bench_layton.generators import INSTEAD
from layton_bench_layton.shipped import Shipped, find_shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layton_bench import LoadContext, Tokenizer

_PAPER = "https://arxiv.org/abs/2503.08377"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_SDXL_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
_SDXL_DIGESTS = {
    "unet/diffusion_pytorch_model.safetensors": (
        "357650fbfb3c7b4d94c1f5fd7664da819ad1ff5a839430484b4ec422d03f710a",
        10_270_077_736,
    ),
    "vae/diffusion_pytorch_model.safetensors": (
        "27ed3b02e09638568e99d4398c67bc654dde04e6c0db61fb2d21dba630e7058a",
        334_643_268,
    ),
}
"""SHA-256 and size, from the git-lfs pointers of the repository."""
_TINY_DATA = "800 photographs of ImageNet's training set, procedural scenes"
_ALIASES = {"layton-t": ("layton-l",), "layton-t-star": ("layton-l-star",)}
# of the released geometry: encoder with its projection; codebook, U-Net, copy and VAE decoder
_ENCODER_PARAMS = 29_300_232
_DECODER_PARAMS = 131_072 + 2_567_463_684 + 1_251_010_256 + 49_490_199

# beside the tokenizer's own file
_LORA_OF = {"layton-ladd-hyper": "hyper-sd-sdxl-1step", "layton-ladd-tlcm": "tlcm-sdxl"}


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the published configurations, and every model that ships with layton."""
    for name in NAMED_MODELS:
        register(_spec(_card(name), NAMED_MODELS[name].config, partial(_load_published, name)))
    for spec in generators.specs(decoder_params=_DECODER_PARAMS):
        register(spec)
    tokenizers = find_shipped()
    for shipped in tokenizers:
        spec = _spec(_shipped_card(shipped), shipped.config, partial(_load_shipped, shipped))
        register(replace(spec, files=shipped.files))
    for spec in shipped_generators.specs(tokenizers):
        register(spec)


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register the tokenizers' files and the files they need; only one of them is published."""
    for name in ("layton-h", "layton-h-star", "layton-t", "layton-t-star", "layton-ladd"):
        model = NAMED_MODELS[name]
        file = hub_file(*model.file) if model.file else WeightsFile(path="tokenizer.pth", url="")
        register(
            WeightsEntry(
                name=name,
                files=(file,),
                licence="not stated",
                used_by=tuple(n for n in NAMED_MODELS if _file_of(n) == name),
                summary=f"{model.label} tokenizer: {model.note}",
                needs=("sdxl-unet-vae",),
                instead="" if model.file else INSTEAD,
                check=partial(_check, name),
            )
        )
    for entry in (*_companions(), *generators.WEIGHTS):
        register(entry)


def _companions() -> tuple[WeightsEntry, ...]:
    parts = [f"{part}/{file}" for part in ("unet", "vae") for file in _SDXL_FILES]
    return (
        WeightsEntry(
            name="hyper-sd-sdxl-1step",
            files=(
                hub_file(
                    "ByteDance/Hyper-SD",
                    "Hyper-SDXL-1step-lora.safetensors",
                    sha256="c912df184c5116792d2c604d26c6bc2aa916685f4a793755255cda1c43a3c78a",
                ),
            ),
            licence="openrail++",
            used_by=("layton-ladd-hyper",),
            summary="HyperSD one-step LoRA of SDXL",
        ),
        WeightsEntry(
            name="tlcm-sdxl",
            files=tuple(
                hub_file("AIGCer-OPPO/TLCM", f"lora_model/{file}")
                for file in ("adapter_config.json", "adapter_model.safetensors")
            ),
            licence="Apache-2.0",
            used_by=("layton-ladd-tlcm",),
            summary="TLCM LoRA of SDXL, 2–8 steps",
        ),
        WeightsEntry(
            name="sdxl-unet-vae",
            files=tuple(
                hub_file(_SDXL, part, save_as=part, sha256=sha256, size_bytes=size)
                for part in parts
                for sha256, size in [_SDXL_DIGESTS.get(part, (None, None))]
            ),
            licence="openrail++",
            used_by=tuple(NAMED_MODELS),
            summary="SDXL's U-Net and VAE, for tokenizer files that hold only the trained part",
        ),
    )


def _spec(
    card: ModelCard, config: TokenizerConfig, load: Callable[[LoadContext], Tokenizer]
) -> ModelSpec:
    sampler = config.sampler
    options = {
        "steps": sampler.steps,
        "cond_scale": sampler.cond_scale,
        "encode_px": config.encode_px,
    }
    return ModelSpec(card=card, load=load, options=options)


def _card(name: str) -> ModelCard:
    model = NAMED_MODELS[name]
    config = model.config
    return ModelCard(
        name=name,
        kind="tokenizer",
        family="layton",
        summary=(
            f"{model.label}: 1024 px in 256 codes, decoded by SDXL; {model.note}"
            + ("" if _is_published(name) else f"; no file is published, use {PUBLISHED}")
        ),
        title=model.label,
        sizes_px=(config.image_px,),
        num_tokens=config.num_tokens,
        codebook_size=config.encoder.codebook_size,
        bits_per_image=config.num_tokens * math.log2(config.encoder.codebook_size),
        encoder_params=_ENCODER_PARAMS,
        decoder_params=_DECODER_PARAMS,
        weights=(_file_of(name), *filter(None, [_LORA_OF.get(name)])),
        training_data=model.note.partition("trained on ")[2],
        source=_PAPER,
        is_stochastic=True,
        num_inference_steps=config.sampler.steps,
        nfe=config.sampler.steps,
        aliases=_ALIASES.get(name, ()),
        notes=(
            f"{config.sampler.kind} sampler; images are resized to {config.encode_px} px for the "
            "encoder; decoder parameters are counted before folding"
        ),
    )


def _shipped_card(shipped: Shipped) -> ModelCard:
    config = shipped.config
    ours = shipped.folder.parent == PACKAGED
    origin = "trained by this project's recipes" if ours else "from a folder"
    return ModelCard(
        name=shipped.name,
        kind="tokenizer",
        family="layton",
        summary=f"{config.image_px} px in {config.num_tokens} codes, {origin}",
        title=shipped.title,
        sizes_px=(config.image_px,),
        num_tokens=config.num_tokens,
        codebook_size=config.encoder.codebook_size,
        bits_per_image=config.num_tokens * math.log2(config.encoder.codebook_size),
        encoder_params=shipped.encoder_params,
        decoder_params=shipped.decoder_params,
        training_data=_TINY_DATA if ours else "",
        licence="MIT" if ours else "",
        source=_PAPER,
        is_stochastic=True,
        num_inference_steps=config.sampler.steps,
        nfe=config.sampler.steps,
        notes="the model card is beside the weights" if ours else "a folder in LAYTON_MODELS",
    )


def _file_of(name: str) -> str:
    return "layton-ladd" if name in _LORA_OF else name.removesuffix("-2steps")


def _is_published(name: str) -> bool:
    return NAMED_MODELS[_file_of(name)].file is not None


def _check(name: str, path: Path) -> None:
    """Raise UserError for a file that does not hold that tokenizer."""
    from layton.errors import LaytonError
    from layton.tokenizer import check_file
    from layton_bench import as_user_error

    with as_user_error(LaytonError):
        check_file(path, name)


def _load_published(name: str, context: LoadContext) -> Tokenizer:
    from layton_bench_layton.adapter import load_published

    return load_published(name, _file_of(name), _LORA_OF.get(name), context)


def _load_shipped(shipped: Shipped, context: LoadContext) -> Tokenizer:
    from layton_bench_layton.adapter import load_shipped

    return load_shipped(shipped.folder, context)
