"""The small generators in the folders of models, such as `laytongen-tiny`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from safetensors import SafetensorError, safe_open

from layton.errors import CheckpointError, ConfigError, LaytonError
from layton.generator.folder import GENERATOR_FILE, TEXT_FOLDER, read_generator
from layton.weights.fingerprints import codebook_digest
from layton.weights.shipped import PACKAGED, model_folders
from layton_bench import Generator, LoadContext, ModelCard, ModelSpec, as_user_error, torch_dtype
from layton_bench_layton.generators import assemble, decoder_options
from layton_bench_layton.shipped import Shipped, note_hidden, tensor_sizes, title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layton.generator.config import GeneratorConfig

_PAPER: Final = "https://arxiv.org/abs/2503.08377"
_FILES: Final = ("config.json", "model.safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShippedGenerator:
    """A generator in a folder (see `layton.generator.folder`), and the tokenizer it names."""

    folder: Path
    config: GeneratorConfig
    tokenizer: Shipped
    text_params: int
    gpt_params: int

    def files(self) -> tuple[Path, ...]:
        """Return every file that its pictures depend on."""
        parts = (self.folder, self.folder / TEXT_FOLDER)
        own = (self.folder / GENERATOR_FILE, *(part / name for part in parts for name in _FILES))
        return (*own, *self.tokenizer.files())


def specs(tokenizers: Sequence[Shipped]) -> Iterator[ModelSpec]:
    """Yield every generator in `model_folders()`. The first one with a name counts.

    One that cannot be used is listed too; loading it gives the reason.

    Args:
        tokenizers: all tokenizers in these folders.
    """
    folders: dict[str, Path] = {}
    for root in model_folders():
        for path in sorted(root.glob(f"*/{GENERATOR_FILE}")):
            note_hidden(folders.setdefault(path.parent.name, path.parent), path.parent)
    known = {tokenizer.name: tokenizer for tokenizer in tokenizers}
    for name, folder in folders.items():
        try:
            yield _spec(_read(folder, known))
        except LaytonError as error:
            yield _unusable(name, error)


def _read(folder: Path, tokenizers: dict[str, Shipped]) -> ShippedGenerator:
    config = read_generator(folder)
    for part in (folder, folder / TEXT_FOLDER):
        for file in _FILES:
            if not (part / file).is_file():
                raise ConfigError(str(part), f"has no {file}", "Export the generator again.")
    if config.tokenizer not in tokenizers:
        raise ConfigError(
            str(folder / GENERATOR_FILE),
            f"its tokenizer {config.tokenizer!r} is missing",
            "Put that tokenizer's folder beside the generator's, or in LAYTON_MODELS.",
        )
    tokenizer = tokenizers[config.tokenizer]
    if config.codebook and config.codebook != _codebook(tokenizer):
        raise ConfigError(
            str(folder / GENERATOR_FILE),
            f"was trained on codes of another {config.tokenizer!r}: the code vectors differ",
            "Put the tokenizer that made its codes into LAYTON_MODELS, or train again.",
        )
    return ShippedGenerator(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        text_params=sum(tensor_sizes(folder / TEXT_FOLDER / "model.safetensors").values()),
        gpt_params=sum(tensor_sizes(folder / "model.safetensors").values()),
    )


def _codebook(tokenizer: Shipped) -> str:
    path = tokenizer.folder / "model.safetensors"
    try:
        with safe_open(path, "np") as file:
            return codebook_digest(file.get_tensor("quantize.embedding.weight"))
    except SafetensorError as error:
        raise CheckpointError(str(path), f"its codebook cannot be read ({error})") from None


def _spec(shipped: ShippedGenerator) -> ModelSpec:
    sampler = shipped.tokenizer.config.sampler
    return ModelSpec(
        card=_card(shipped),
        load=partial(_load, shipped),
        options={
            **shipped.config.settings,
            "steps": sampler.steps,
            "cond_scale": sampler.cond_scale,
            "compile": 0,
        },
        files=shipped.files,
    )


def _card(shipped: ShippedGenerator) -> ModelCard:
    gpt, tokenizer = shipped.config.gpt, shipped.tokenizer
    name, image_px = shipped.folder.name, tokenizer.config.image_px
    steps = tokenizer.config.sampler.steps
    is_ours = shipped.folder.parent == PACKAGED
    return ModelCard(
        name=name,
        kind="generator",
        family="layton",
        summary=(
            f"{image_px} px from a text of known words, by {gpt.num_tokens} codes of"
            f" {tokenizer.name}{'; ships with the package' if is_ours else ''}"
        ),
        title=title_of(shipped.folder, shipped.files()),
        sizes_px=(image_px,),
        num_tokens=gpt.num_tokens,
        codebook_size=gpt.codebook_size,
        bits_per_image=gpt.num_tokens * math.log2(gpt.codebook_size),
        encoder_params=shipped.text_params,
        decoder_params=shipped.gpt_params + tokenizer.decoder_params,
        training_data="procedural scenes of this project" if is_ours else "",
        licence="MIT" if is_ours else "",
        source=_PAPER,
        is_stochastic=True,
        num_inference_steps=steps,
        nfe=steps,
        cfg_scale=shipped.config.guidance.scale,
        notes="draws image codes one by one; NFE counts the image decoder only",
    )


def _unusable(name: str, error: LaytonError) -> ModelSpec:
    def refuse(_: LoadContext | None = None) -> NoReturn:
        with as_user_error(LaytonError):
            raise error

    card = ModelCard(
        name=name,
        kind="generator",
        family="layton",
        summary=f"cannot be used: {error.thing}: {error.reason}",
    )
    return ModelSpec(card=card, load=refuse, files=refuse)


def _load(shipped: ShippedGenerator, context: LoadContext) -> Generator:
    """Load the generator from its folder; raise UserError if a part does not fit."""
    from layton.generator.loading import load_gpt
    from layton.generator.words import load_words
    from layton_bench_layton.adapter import load_shipped

    folder, tokenizer = shipped.folder, shipped.tokenizer
    with as_user_error(LaytonError):
        config = shipped.config.with_settings(context.options)
        of_decoder = decoder_options(context.options, tokenizer.config)
        encoder = load_words(folder / TEXT_FOLDER, device=context.device)
        gpt = load_gpt(folder, dtype=torch_dtype(context.dtype), device=context.device)
        decoder = load_shipped(tokenizer.folder, replace(context, options=of_decoder))
    return assemble(folder.name, config, encoder, gpt, decoder, context)
