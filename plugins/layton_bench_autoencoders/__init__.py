"""Continuous autoencoders: SD, SDXL, SD3, FLUX.1 and the TAESD family, through diffusers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from layton_bench import LoadContext, ModelCard, ModelSpec, WeightsEntry, hookimpl
from layton_bench_autoencoders.variants import VARIANTS, AutoencoderConfig

if TYPE_CHECKING:
    from layton_bench_autoencoders.tokenizer import AutoencoderTokenizer


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register all autoencoders."""
    for name, config in VARIANTS.items():
        register(ModelSpec(card=_card(name, config), load=partial(_load, name)))


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register one checkpoint per model, under its name."""
    for name, config in VARIANTS.items():
        register(
            WeightsEntry(
                name=name,
                files=config.files,
                licence=config.licence,
                used_by=(name,),
                summary=config.title,
            )
        )


def _card(name: str, config: AutoencoderConfig) -> ModelCard:
    kind = "distilled" if config.is_tiny else "KL-regularised"
    notes = [f"raw float latents, {config.latent_channels} channels at 1/8 of the side"]
    if not config.is_tiny:
        notes.append("latents are the posterior's mode, not a sample")
    if config.overflows_float16:
        notes.append("uses float32 instead of float16, which would overflow")
    return ModelCard(
        name=name,
        kind="tokenizer",
        family="autoencoders",
        summary=f"{config.title}: {kind} continuous autoencoder, {config.latent_channels} channels",
        title=config.title,
        encoder_params=config.encoder_params,
        decoder_params=config.decoder_params,
        weights=(name,),
        training_data=config.training_data,
        licence=config.licence,
        source=config.source,
        notes="; ".join(notes),
    )


def _load(name: str, context: LoadContext) -> AutoencoderTokenizer:
    """Load the model from its checkpoint; raise UserError if the file holds another model."""
    import torch

    from layton.errors import LaytonError
    from layton.tokenizer.folding import fold_upsampling
    from layton_bench import as_user_error, torch_dtype
    from layton_bench_autoencoders.build import load
    from layton_bench_autoencoders.tokenizer import AutoencoderTokenizer

    config, dtype = VARIANTS[name], torch_dtype(context.dtype)
    if config.overflows_float16 and dtype == torch.float16:
        dtype = torch.float32
    with as_user_error(LaytonError):
        model = load(config, context.weights(name))
    torch.nn.Module.to(model, context.device, dtype)  # diffusers' own warns about nothing
    fold_upsampling(model.decoder)
    model.to(memory_format=torch.channels_last)
    return AutoencoderTokenizer(model, dtype=dtype)
