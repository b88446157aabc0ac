"""`layton extract`: codes, latents and text features, computed once and kept.

    FOLDER/part-000000.safetensors   codes int32 (n, V, N), latents float16 (n, V, C, h, w),
    FOLDER/part-000000.json          text_features float16 (n, 1, T, D), text_lengths; the captions
    FOLDER/made-by.json              the recipe, and digests of the models' weights and codebook

V crops of each image are kept; training draws one of them. Each part is complete or absent, so a
stopped extraction can continue. If the recipe or a model has changed, it is refused.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import PositiveInt, model_validator
from safetensors.torch import save_file
from torch import Tensor

from layton.errors import ConfigError
from layton.training.data.seeds import derive
from layton.training.data.sources import CODEBOOK_KEY, NOTE_FILE, Sample, open_source
from layton.training.data.stream import crop
from layton.training.errors import DataError
from layton.training.recipe import DataRecipe, StrictModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["ExtractRecipe", "extract"]

_PART_SIZE = 512  # samples per file
_FLOATS = torch.float16


class ExtractRecipe(StrictModel):
    """What to extract, and from which images."""

    phase: Literal["extract"]
    """Marks the file as an extraction recipe."""
    output: Path
    """Folder of the parts."""
    seed: int = 0
    """Of the crops."""
    size_px: PositiveInt
    """Side of the crops."""
    variants: PositiveInt = 1
    """Crops of each image."""
    batch_size: PositiveInt = 16
    """Images at a time."""
    data: DataRecipe
    """Images, and how they are cut; `repeat` is ignored."""
    vq: Path | None = None
    """A VQ tokenizer of phase `vq`, for codes."""
    tokenizer: Path | None = None
    """A Layton tokenizer folder, for codes."""
    vae: Path | None = None
    """A diffusers folder with a `vae`, for scaled latents."""
    text_encoder: Path | None = None
    """A folder of a T5 encoder, for features of the captions."""
    max_text_tokens: PositiveInt = 120
    """Longer captions are cut to this number of tokens, as for generation."""

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if (self.vq is None) == (self.tokenizer is None) and self.vq is not None:
            raise ValueError("give vq or tokenizer, not both")
        if not (self.vq or self.tokenizer or self.vae):
            raise ValueError("give vq, tokenizer or vae")
        return self


def extract(recipe: ExtractRecipe, *, on_progress: Callable[[int, int], None]) -> Path:
    """Compute the recipe's tensors and write them; return the folder.

    Args:
        recipe: what to extract, and from which images.
        on_progress: called with (samples done, samples in all) after every part.

    Raises:
        LaytonError: a model or the data is missing or does not fit.
        ConfigError: another recipe, or other models, made the folder's parts.
    """
    samples = [s for source in recipe.data.sources for s in _all(open_source(source))]
    codebook, compute = _computations(recipe)
    _claim(recipe, codebook)
    for start in range(0, len(samples), _PART_SIZE):
        path = recipe.output / f"part-{start // _PART_SIZE:06d}.safetensors"
        numbers = range(start, min(start + _PART_SIZE, len(samples)))
        if not path.exists():
            _write_part(path, [(i, samples[i]) for i in numbers], recipe, compute)
        on_progress(numbers.stop, len(samples))
    return recipe.output


def _claim(recipe: ExtractRecipe, codebook: str) -> None:
    """Note in the folder how its parts are made, or refuse parts that were made differently."""
    models = (recipe.vq, recipe.tokenizer, recipe.vae)
    weights = sorted(w for model in models if model for w in model.rglob("*.safetensors"))
    digests = {str(path): _sha256(path) for path in weights}
    said = recipe.model_dump(mode="json", exclude={"batch_size"}) | digests
    made_by = json.dumps(said | {CODEBOOK_KEY: codebook}, indent=2)
    note = recipe.output / NOTE_FILE
    if any(recipe.output.glob("part-*.safetensors")):
        if not note.is_file() or note.read_text() != made_by:
            raise ConfigError(
                str(recipe.output),
                "holds parts of another recipe, or of models that have changed",
                "Remove the folder, or choose another output.",
            )
        return
    recipe.output.mkdir(parents=True, exist_ok=True)
    note.write_text(made_by)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _all(source: Any) -> Iterator[Callable[[], Sample]]:
    yield from (partial(source.load, index) for index in range(len(source)))


def _write_part(
    path: Path,
    samples: Sequence[tuple[int, Callable[[], Sample]]],
    recipe: ExtractRecipe,
    compute: Callable[[Tensor, Sequence[str]], dict[str, Tensor]],
) -> None:
    rows: list[dict[str, Tensor]] = []
    captions: list[str] = []
    for start in range(0, len(samples), recipe.batch_size):
        chunk = [(i, load()) for i, load in samples[start : start + recipe.batch_size]]
        captions += [sample.caption for _, sample in chunk]
        images = torch.stack(
            [
                _cut(sample, recipe, number, variant)
                for number, sample in chunk
                for variant in range(recipe.variants)
            ]
        )
        found = compute(images, [sample.caption for _, sample in chunk])
        rows.append({k: v.unflatten(0, (len(chunk), -1)) for k, v in found.items()})
    whole = {name: torch.cat([row[name] for row in rows]).contiguous() for name in rows[0]}
    scratch = path.with_suffix(".writing")
    save_file(whole, scratch)
    path.with_suffix(".json").write_text(json.dumps(captions))
    scratch.replace(path)


def _cut(sample: Sample, recipe: ExtractRecipe, number: int, variant: int) -> Tensor:
    if sample.image is None:
        raise DataError("data.sources", "hold no images", "Extract from images.")
    rng = np.random.default_rng(derive(recipe.seed, "extract", number, variant))
    return crop(sample.image, recipe.size_px, recipe.data, rng)


def _computations(
    recipe: ExtractRecipe,
) -> tuple[str, Callable[[Tensor, Sequence[str]], dict[str, Tensor]]]:
    """Return the codebook's digest, and a function that computes a batch's tensors."""
    codebook, encode = _encoder(recipe)
    vae = None
    if recipe.vae is not None:
        from layton.tokenizer import read_part

        vae = read_part(recipe.vae, "vae").eval()
    text = None
    if recipe.text_encoder is not None:
        from layton.generator import T5TextEncoder

        text = T5TextEncoder.from_pretrained(recipe.text_encoder, max_tokens=recipe.max_text_tokens)

    @torch.no_grad()
    def compute(images: Tensor, captions: Sequence[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if encode is not None:
            found["codes"] = encode(images).to(torch.int32)
        if vae is not None:
            mean = vae.encode(images).latent_dist.mode()
            found["latents"] = (mean * vae.config.scaling_factor).to(_FLOATS)
        if text is not None:
            found |= _text_tensors(text.encode(captions), recipe.max_text_tokens)
        return found

    return codebook, compute


def _encoder(recipe: ExtractRecipe) -> tuple[str, Callable[[Tensor], Tensor] | None]:
    """Return the codebook's digest, and a function images → codes (B, N)."""
    if recipe.tokenizer is not None:
        from layton.tokenizer import Tokenizer

        tokenizer = Tokenizer.from_pretrained(recipe.tokenizer)
        return tokenizer.quantize.digest, tokenizer.encode
    if recipe.vq is None:
        return "", None
    from layton.tokenizer import read_vq

    model = read_vq(recipe.vq)
    return model.quantize.digest, lambda images: model.encode(images).flatten(1)


def _text_tensors(features: Sequence[Tensor], limit: int) -> dict[str, Tensor]:
    # left-padded to one length for all, as the transformer reads them
    width = features[0].shape[1]
    padded = torch.zeros(len(features), limit, width, dtype=_FLOATS)
    lengths = torch.tensor([min(len(text), limit) for text in features], dtype=torch.int32)
    for row, text in enumerate(features):
        kept = text[:limit]
        padded[row, limit - len(kept) :] = kept.to(_FLOATS)
    return {"text_features": padded, "text_lengths": lengths}
