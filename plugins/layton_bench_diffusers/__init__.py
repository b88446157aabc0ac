"""Text-to-image pipelines of diffusers: Stable Diffusion, FLUX.1, PixArt, Sana, and any folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from layton_bench import Generator, LoadContext, ModelCard, ModelPattern, ModelSpec, hookimpl
from layton_bench_diffusers.folder import PipelineFolder, find_folder, read_folder
from layton_bench_diffusers.variants import KINDS, VARIANTS, PipelineKind, Variant

_FAMILY = "diffusers"


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec | ModelPattern], None]) -> None:
    """Register the published models, and pipelines by folder or hub id."""
    for name, variant in VARIANTS.items():
        register(_published(name, variant))
    register(
        ModelPattern(
            # a name that ends in @512 is a resize adapter around another model
            pattern=re.compile(r"diffusers:(?!.*@\d+$)(?P<source>.+)"),
            examples=("diffusers:FOLDER", "diffusers:OWNER/NAME"),
            summary="a folder saved by diffusers, or a pipeline in the Hugging Face cache",
            make_spec=lambda match: _found(match["source"]),
            kind="generator",
        )
    )


def _published(name: str, variant: Variant) -> ModelSpec:
    kind = KINDS[variant.pipeline]
    steps = variant.steps or kind.steps
    guidance = kind.guidance if variant.guidance is None else variant.guidance
    card = ModelCard(
        name=name,
        kind="generator",
        family=_FAMILY,
        summary=f"{variant.title}: {variant.size_px} px from a text, by {variant.pipeline}",
        title=variant.title,
        sizes_px=(variant.size_px,),
        encoder_params=variant.encoder_params,
        decoder_params=variant.decoder_params,
        training_data=variant.training_data,
        licence=variant.licence,
        source=variant.source,
        is_stochastic=True,
        num_inference_steps=steps,
        nfe=_nfe(steps, kind, variant.scheduler),
        cfg_scale=kind.cfg_scale,
        aliases=variant.aliases,
        notes=_notes(
            variant.notes,
            f"weights {variant.hub_id}",
            variant.scheduler,
            variant.text_tokens or kind.text_tokens,
        ),
    )
    return ModelSpec(
        card=card,
        load=partial(_load, name, variant.hub_id, variant.text_tokens or kind.text_tokens),
        options=_options(kind, steps, guidance),
        files=partial(_files, variant.hub_id),
    )


def _found(source: str) -> ModelSpec:
    """Return the spec of a folder or hub id, from its small files; raise UserError."""
    folder = read_folder(find_folder(source))
    kind = folder.kind
    is_local = Path(source).expanduser().is_dir()
    # another folder of the same name is another model
    name = f"{folder.path.resolve().name}-{folder.digest()}" if is_local else source
    card = ModelCard(
        name=f"diffusers:{name}",
        kind="generator",
        family=_FAMILY,
        summary=f"{name}: {folder.size_px} px from a text, by {folder.pipeline}",
        title=name,
        sizes_px=(folder.size_px,),
        licence="not stated",
        source="" if is_local else f"https://huggingface.co/{source}",
        is_stochastic=True,
        num_inference_steps=kind.steps,
        nfe=_nfe(kind.steps, kind, folder.scheduler),
        cfg_scale=kind.cfg_scale,
        notes=_notes("", folder.pipeline, folder.scheduler, kind.text_tokens),
    )
    return ModelSpec(
        card=card,
        load=partial(_load, card.name, source, kind.text_tokens),
        options=_options(kind, kind.steps, kind.guidance),
        files=partial(_files, source),
    )


def _notes(notes: str, origin: str, scheduler: str, text_tokens: int) -> str:
    told = f"{origin}; its own scheduler is {scheduler}; prompts are cut at {text_tokens} tokens"
    return f"{notes}; {told}" if notes else told


def _nfe(steps: int, kind: PipelineKind, scheduler: str) -> int:
    """Forward passes at the defaults; PNDM's second step takes two."""
    calls = steps + (scheduler == "PNDMScheduler")
    return calls * (2 if kind.cfg_scale is not None and kind.cfg_scale > 1 else 1)


def _options(
    kind: PipelineKind, steps: int, guidance: float | None
) -> dict[str, int | float | str]:
    options: dict[str, int | float | str] = {"steps": steps}
    if kind.cfg_scale is not None:
        options |= {"cfg_scale": kind.cfg_scale, "negative_prompt": ""}
    if guidance:
        options["guidance"] = guidance
    return options | {"scheduler": "own", "offload": "auto"}


def _files(source: str) -> Sequence[Path]:
    return read_folder(find_folder(source)).files()


def _load(name: str, source: str, text_tokens: int, context: LoadContext) -> Generator:
    """Load the pipeline; raise UserError if a file is missing or does not fit."""
    from layton_bench import UserError, torch_dtype
    from layton_bench_diffusers.build import build
    from layton_bench_diffusers.generator import PipelineGenerator

    options, folder = context.options, read_folder(find_folder(source))
    if int(options["steps"]) < 1:
        raise UserError(f"steps={options['steps']}", "must be at least 1", "Set steps=1 or more.")
    pipeline = build(
        folder,
        dtype=torch_dtype(context.dtype),
        device=context.device,
        scheduler=str(options["scheduler"]),
        offload=str(options["offload"]),
    )
    return PipelineGenerator(
        pipeline,
        name=name,
        denoiser=folder.kind.denoiser,
        device=context.device,
        settings=_call_settings(folder, text_tokens, context),
    )


def _call_settings(
    folder: PipelineFolder, text_tokens: int, context: LoadContext
) -> dict[str, object]:
    """Return the arguments of the pipeline that are the same for every prompt."""
    options, kind = context.options, folder.kind
    settings: dict[str, object] = {
        "num_inference_steps": options["steps"],
        "guidance_scale": options.get("cfg_scale", options.get("guidance", 0.0)),
        "height": folder.size_px,
        "width": folder.size_px,
        **kind.call_settings,
    }
    if kind.denoiser == "transformer":
        settings["max_sequence_length"] = text_tokens
    # without one, some pipelines use zeros and some an empty text
    if options.get("negative_prompt"):
        settings["negative_prompt"] = options["negative_prompt"]
    return settings
