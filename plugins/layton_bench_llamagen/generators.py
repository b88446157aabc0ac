"""LlamaGen's generators (arXiv 2406.06525): cards, and adapters around layton's transformer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from layton.generator.config import GENERATORS
from layton_bench import (
    ClassGenerator,
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

_C2I, _T2I, _T5 = "FoundationVision/LlamaGen", "peizesun/llamagen_t2i", "google/flan-t5-xl"
_DECODER_PARAMS: Final = 42_583_171  # of VQ-16, with its codebook
_T5_PARAMS: Final = 1_223_527_424  # of the encoder of flan-T5-XL
TEXT_ENCODER: Final = "flan-t5-xl"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """A checkpoint; an empty `file` means that none is published at this size."""

    title: str
    params: int
    repository: str
    file: str
    training_data: str = "ImageNet"


def _c2i(size: str, params: int, *, at_256: bool) -> dict[str, _Published]:
    title = f"LlamaGen-{size}"
    file = f"c2i_{size}_256.pt" if at_256 else ""
    name = f"llamagen-c2i-{size.lower()}"
    return {
        name: _Published(title=title, params=params, repository=_C2I, file=file),
        f"{name}@384": _Published(
            title=f"{title} 384", params=params, repository=_C2I, file=f"c2i_{size}_384.pt"
        ),
    }


_PUBLISHED: Final = {
    **_c2i("B", 110_888_448, at_256=True),
    **_c2i("L", 342_910_976, at_256=True),
    **_c2i("XL", 774_699_520, at_256=False),
    **_c2i("XXL", 1_410_972_672, at_256=False),
    **_c2i("3B", 3_096_659_200, at_256=False),
    "llamagen-t2i-xl-256": _Published(
        title="LlamaGen-XL t2i 256",
        params=777_678_080,
        repository=_T2I,
        file="t2i_XL_stage1_256.pt",
        training_data="LAION-COCO (50M)",
    ),
    "llamagen-t2i-xl-512": _Published(
        title="LlamaGen-XL t2i 512",
        params=777_678_080,
        repository=_T2I,
        file="t2i_XL_stage2_512.pt",
        training_data="LAION-COCO (50M), 10M internal images",
    ),
}


def _weights_of(name: str) -> str:
    return name.replace("@", "-")


def _file(name: str) -> WeightsFile:
    known = _PUBLISHED[name]
    if known.file:
        return hub_file(known.repository, known.file)
    return WeightsFile(path=f"{_weights_of(name)}.pt", url="")


def _check(name: str, path: Path) -> None:
    """Raise UserError for a file that does not hold that transformer."""
    from layton import LaytonError
    from layton.generator import check_gpt

    with as_user_error(LaytonError):
        check_gpt(path, GENERATORS[name].gpt)


WEIGHTS: Final = (
    *(
        WeightsEntry(
            name=_weights_of(name),
            files=(_file(name),),
            licence="MIT",
            used_by=(name,),
            summary=f"{known.title}, the transformer",
            check=partial(_check, name),
        )
        for name, known in _PUBLISHED.items()
    ),
    WeightsEntry(
        name=TEXT_ENCODER,
        files=tuple(
            hub_file(_T5, file)
            for file in (
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            )
        ),
        licence="Apache-2.0",
        used_by=tuple(n for n, known in GENERATORS.items() if known.gpt.condition == "text"),
        summary="flan-T5-XL; its encoder reads the prompts",
    ),
)


def _card(name: str) -> ModelCard:
    known, config = _PUBLISHED[name], GENERATORS[name]
    kind, is_text = config.gpt.condition, config.gpt.condition == "text"
    return ModelCard(
        name=name,
        kind="generator",
        family="llamagen",
        summary=f"{known.title}: {kind}-conditional autoregressive transformer over VQ-16",
        title=known.title,
        sizes_px=(16 * config.gpt.grid_side,),
        prompted_by=kind,
        num_tokens=config.gpt.num_tokens,
        codebook_size=config.gpt.codebook_size,
        bits_per_image=config.gpt.num_tokens * math.log2(config.gpt.codebook_size),
        encoder_params=_T5_PARAMS if is_text else None,
        decoder_params=known.params + _DECODER_PARAMS,
        weights=(_weights_of(name), config.tokenizer, *((TEXT_ENCODER,) if is_text else ())),
        training_data=known.training_data,
        licence="MIT",
        source="https://github.com/FoundationVision/LlamaGen",
        is_stochastic=True,
        cfg_scale=config.guidance.scale,
        notes="" if known.file else "no checkpoint of this size is published",
    )


def _load(name: str, context: LoadContext) -> Generator:
    """Load the generator from its checkpoints; raise UserError if one does not fit."""
    from layton import ClassToImage, T5TextEncoder, TextToImage, VQImageDecoder, load_gpt
    from layton.errors import LaytonError
    from layton_bench_llamagen import load_vq

    dtype, device = torch_dtype(context.dtype), context.device
    compiled, stages = bool(context.options["compile"]), StageClock(device)
    with as_user_error(LaytonError):
        config = GENERATORS[name].with_settings(context.options)
        guidance, sampling = config.guidance, config.sampling
        gpt = load_gpt(
            context.weights(_weights_of(name)), config=config.gpt, dtype=dtype, device=device
        )
        vq = load_vq(config.tokenizer, context)
        decoder = VQImageDecoder(vq, grid_side=config.gpt.grid_side)
        if config.gpt.condition == "class":
            classes = ClassToImage(
                gpt, decoder, guidance=guidance, sampling=sampling, compiled=compiled, watch=stages
            )
            return ClassGenerator(
                classes.generate, name=name, errors=LaytonError, stages=stages, check=classes.check
            )
        encoder = T5TextEncoder.from_pretrained(
            context.weights(TEXT_ENCODER),
            dtype=dtype,
            device=device,
            max_tokens=config.gpt.num_prefix_tokens,
        )
        texts = TextToImage(
            encoder, gpt, decoder, guidance=guidance, sampling=sampling, compiled=compiled,
            watch=stages,
        )  # fmt: skip
        return TextGenerator(
            texts.generate,
            name=name,
            errors=LaytonError,
            stages=stages,
            check=texts.check,
            notes=texts.notes,
        )


SPECS: Final = tuple(
    ModelSpec(
        card=_card(name),
        load=partial(_load, name),
        options={**GENERATORS[name].settings, "compile": 0},
    )
    for name in _PUBLISHED
)
