"""LaytonGen (arXiv 2503.08377): text to 256 codes to 1024 px."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from layton.generator.config import GENERATORS
from layton.tokenizer import NAMED_MODELS, PUBLISHED
from layton_bench import (
    Generator,
    LoadContext,
    ModelCard,
    ModelSpec,
    StageClock,
    TextGenerator,
    WeightsEntry,
    WeightsFile,
    as_user_error,
    hub_file,
    torch_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layton.generator.config import GeneratorConfig
    from layton.generator.text import TextEncoder
    from layton.generator.transformer import GPT
    from layton.tokenizer.config import TokenizerConfig
    from layton_bench_layton.adapter import LaytonTokenizer

_TITLES: Final = {
    "laytongen-h": "LaytonGen-H",
    "laytongen-h-star": "LaytonGen-H*",
    "laytongen-t-star": "LaytonGen-T*",
}
_GPT_PARAMS: Final = 777_678_080
_T5_PARAMS: Final = 1_223_527_424  # of the encoder of flan-T5-XL
_TEXT_ENCODER: Final = "flan-t5-xl"
_COND_SCALE: Final = 0.8  # of the published demo
_FILES: Final = {
    # the one that the repository names
    "laytongen-t-star": hub_file("OPPOer/LaCTok", "LaCTokGen-T.pth"),
}

INSTEAD: Final = f"Use {PUBLISHED}, whose file is published."


def _check(name: str, path: Path) -> None:
    """Raise UserError for a file that does not hold that transformer."""
    from layton import LaytonError
    from layton.generator import check_gpt

    with as_user_error(LaytonError):
        check_gpt(path, GENERATORS[name].gpt)


WEIGHTS: Final = tuple(
    WeightsEntry(
        name=name,
        files=(_FILES.get(name, WeightsFile(path="gpt.pth", url="")),),
        licence="not stated",
        used_by=(name,),
        summary=f"{title}, the transformer",
        needs=(GENERATORS[name].tokenizer, _TEXT_ENCODER),
        instead="" if name in _FILES else "Use laytongen-t-star, whose file is published.",
        check=partial(_check, name),
    )
    for name, title in _TITLES.items()
)


def specs(*, decoder_params: int) -> tuple[ModelSpec, ...]:
    """The three generators; `decoder_params` are those of the tokenizer's decoder."""
    return tuple(
        ModelSpec(
            card=_card(name, decoder_params),
            load=partial(_load, name),
            options={
                **GENERATORS[name].settings,
                "steps": NAMED_MODELS[GENERATORS[name].tokenizer].config.sampler.steps,
                "cond_scale": _COND_SCALE,
                "compile": 0,
            },
        )
        for name in _TITLES
    )


def _card(name: str, decoder_params: int) -> ModelCard:
    config = GENERATORS[name]
    tokenizer = NAMED_MODELS[config.tokenizer]
    steps = tokenizer.config.sampler.steps
    return ModelCard(
        name=name,
        kind="generator",
        family="layton",
        summary=(
            f"{_TITLES[name]}: 1024 px from a text by 256 codes, decoded by {tokenizer.label}"
            + ("" if name in _FILES else "; no file is published, use laytongen-t-star")
        ),
        title=_TITLES[name],
        sizes_px=(tokenizer.config.image_px,),
        num_tokens=config.gpt.num_tokens,
        codebook_size=config.gpt.codebook_size,
        bits_per_image=config.gpt.num_tokens * math.log2(config.gpt.codebook_size),
        encoder_params=_T5_PARAMS,
        decoder_params=_GPT_PARAMS + decoder_params,
        weights=(name, config.tokenizer, _TEXT_ENCODER),
        source="https://arxiv.org/abs/2503.08377",
        is_stochastic=True,
        num_inference_steps=steps,
        nfe=steps,
        cfg_scale=config.guidance.scale,
        notes=f"draws codes one by one; NFE and cond_scale {_COND_SCALE} are the image decoder's",
    )


def _load(name: str, context: LoadContext) -> Generator:
    """Load the generator from its checkpoints; raise UserError if one does not fit."""
    from layton import LaytonError, T5TextEncoder, load_gpt
    from layton_bench_layton.adapter import load_published

    dtype, options = torch_dtype(context.dtype), context.options
    with as_user_error(LaytonError):
        config = GENERATORS[name].with_settings(options)
        of_decoder = decoder_options(options, NAMED_MODELS[config.tokenizer].config)
        gpt = load_gpt(context.weights(name), config=config.gpt, dtype=dtype, device=context.device)
        tokenizer = load_published(
            config.tokenizer, config.tokenizer, None, replace(context, options=of_decoder)
        )
        encoder = T5TextEncoder.from_pretrained(
            context.weights(_TEXT_ENCODER),
            dtype=dtype,
            device=context.device,
            max_tokens=config.gpt.num_prefix_tokens,
        )
    return assemble(name, config, encoder, gpt, tokenizer, context)


def decoder_options(
    options: Mapping[str, float | int | str], tokenizer: TokenizerConfig
) -> dict[str, float | int | str]:
    """Return the options of a generator that belong to its tokenizer."""
    return {
        "steps": options["steps"],
        "cond_scale": options["cond_scale"],
        "encode_px": tokenizer.encode_px,
    }


def assemble(
    name: str,
    config: GeneratorConfig,
    encoder: TextEncoder,
    gpt: GPT,
    tokenizer: LaytonTokenizer,
    context: LoadContext,
) -> Generator:
    """Join the parts to one generator; raise UserError if transformer and decoder do not fit."""
    from layton import LaytonDecoder, LaytonError, TextToImage

    stages = StageClock(context.device)
    with as_user_error(LaytonError):
        model = TextToImage(
            encoder,
            gpt,
            LaytonDecoder(
                tokenizer.tokenizer, steps=tokenizer.steps, cond_scale=tokenizer.cond_scale
            ),
            guidance=config.guidance,
            sampling=config.sampling,
            compiled=bool(context.options["compile"]),
            watch=stages,
        )
        passes = len(tokenizer.tokenizer.timesteps(tokenizer.steps))
    return TextGenerator(
        model.generate,
        name=name,
        errors=LaytonError,
        stages=stages,
        nfe=passes,
        check=model.check,
        notes=model.notes,
    )
