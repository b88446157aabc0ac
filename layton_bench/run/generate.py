"""Draw pictures from prompts into files: the work of `layton-bench generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import UserError
from layton_bench.images import to_pil, to_uint8
from layton_bench.machine import Reporter, Silent, package_versions, resolve_device, torch_dtype
from layton_bench.models import Generator, ModelSpec, OptionValue, check_images, check_prompts
from layton_bench.registry import (
    Plugins,
    code_of,
    find_model,
    load_model,
    model_owner,
    parse_options,
)
from layton_bench.run.engine.halving import Halving
from layton_bench.run.picture_files import (
    Picture,
    Settings,
    check_folder,
    claim_folder,
    is_drawn,
    save_png,
    words,
)
from layton_bench.run.plan import weight_digests
from layton_bench.seeds import sample_seed
from layton_bench.tasks.geneval import IMAGES_PER_PROMPT, sample_path, write_metadata
from layton_bench.types import Failure, Prompt, image_key

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.tasks.geneval import ScenePrompt

SUITE = "generate"
"""Stands for the name of a suite in the seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artist:
    """A generator that is not loaded yet.

    Attributes:
        load: loads it.
        size_px: side of its pictures.
        settings: everything that determines a picture, apart from its prompt, index and seed.
    """

    load: Callable[[], Generator]
    size_px: int
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The result of a call: files that were written or found, and failures."""

    paths: tuple[Path, ...]
    num_found: int
    failures: tuple[Failure, ...]


def find_artist(
    plugins: Plugins, model: str, settings: Sequence[str], *, device: str, dtype: str
) -> Artist:
    """Look up a generator and check its options.

    Args:
        plugins: where names are looked up.
        model: name of the generator.
        settings: ``name=value`` for its options.
        device: ``auto`` or a device as torch writes it.
        dtype: dtype of the model.

    Raises:
        UserError: an unknown name, a tokenizer, a wrong option, or missing weights.
    """
    spec = find_model(plugins, model)
    if spec.card.kind != "generator":
        raise UserError(f"model '{model}'", "it is a tokenizer", "Name a generator.")
    options = parse_options(spec, settings)
    torch_dtype(dtype)
    return Artist(
        load=partial(_load, plugins, spec, resolve_device(device), dtype, options),
        size_px=spec.card.side_px(None),
        settings={
            "model": spec.card.name,
            "options": dict(options),
            "dtype": dtype,
            "weights": dict(weight_digests(plugins, spec)),
            "code": code_of(plugins, model_owner(plugins, model)),
            "packages": dict(package_versions()),
        },
    )


def _load(
    plugins: Plugins, spec: ModelSpec, device: str, dtype: str, options: dict[str, OptionValue]
) -> Generator:
    loaded = load_model(plugins, spec, device, dtype, options)
    assert isinstance(loaded, Generator)
    return loaded


def plan_pictures(
    prompts: Sequence[Prompt],
    path_of: Callable[[int, Prompt, int], Path],
    *,
    images_per_prompt: int = 1,
    seed: int = 0,
) -> list[Picture]:
    """Return every picture with its seed. A seed depends only on prompt, index and ``seed``.

    Args:
        prompts: what to draw.
        path_of: (number of the prompt, prompt, index of the image) → file.
        images_per_prompt: number of pictures for each prompt.
        seed: the seed that the user gave.
    """
    return [
        Picture(
            prompt=prompt,
            index=index,
            seed=sample_seed(SUITE, words(prompt), user_seed=seed, repeat=index),
            path=path_of(number, prompt, index),
        )
        for number, prompt in enumerate(prompts)
        for index in range(images_per_prompt)
    ]


def plan_layout(
    prompts: Sequence[ScenePrompt],
    root: Path,
    *,
    images_per_prompt: int = IMAGES_PER_PROMPT,
    seed: int = 0,
) -> list[Picture]:
    """Write the metadata of every prompt, and return its pictures, seeded as suite ``geneval``.

    Raises:
        UserError: a folder belongs to another prompt.
    """
    for number, prompt in enumerate(prompts):
        write_metadata(root, number, prompt)
    return [
        Picture(
            prompt=Prompt(key=f"{number:05d}", text=prompt.prompt),
            index=index,
            seed=sample_seed("geneval", image_key(f"{number:05d}", index), user_seed=seed),
            path=sample_path(root, number, index),
        )
        for number, prompt in enumerate(prompts)
        for index in range(images_per_prompt)
    ]


def draw(
    artist: Artist,
    pictures: Sequence[Picture],
    folder: Path,
    *,
    batch_size: int,
    reporter: Reporter | None = None,
) -> Drawn:
    """Draw the pictures that do not exist yet. A failure costs only its own picture.

    The generator is loaded only if a picture is missing.

    Args:
        artist: the generator.
        pictures: what to draw.
        folder: folder of all pictures.
        batch_size: pictures per call of the generator.
        reporter: shows the progress.

    Raises:
        UserError: the folder has pictures of other settings, or another picture has the name of
            one of these; the model cannot draw one of the prompts (nothing is drawn then), or
            failed on each of the first ones; the folder cannot be written (earlier pictures are
            kept).
    """
    check_folder(folder, artist.settings)
    missing = [picture for picture in pictures if not is_drawn(picture, artist.settings)]
    failures: list[Failure] = []
    if missing:
        generator = artist.load()
        check_prompts(generator, [picture.prompt for picture in missing])
        failures = _draw(generator, artist, missing, folder, batch_size, reporter or Silent())
    failed = {failure.key for failure in failures}
    paths = tuple(p.path for p in pictures if str(p.path) not in failed)
    return Drawn(paths=paths, num_found=len(pictures) - len(missing), failures=tuple(failures))


def _draw(
    generator: Generator,
    artist: Artist,
    missing: Sequence[Picture],
    folder: Path,
    batch_size: int,
    reporter: Reporter,
) -> list[Failure]:
    failures: list[Failure] = []
    halving, is_claimed = Halving(lambda: "generate"), False
    reporter.start(str(artist.settings["model"]), len(missing))
    try:
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            call = partial(_call, generator, batch, artist.size_px)
            for made in halving([str(picture.path) for picture in batch], call):
                if isinstance(made, Failure):
                    failures.append(made)
                    continue
                if not is_claimed:
                    claim_folder(folder, artist.settings)
                    is_claimed = True
                for picture, image in made:
                    save_png(picture, to_pil(image), artist.settings)
            reporter.advance(len(batch))
    finally:
        reporter.finish()
    return failures


def _call(
    generator: Generator, batch: Sequence[Picture], size_px: int, part: slice
) -> list[tuple[Picture, Tensor]]:
    """Draw a part of a batch; raises ModelOutputError, or whatever the model raises."""
    import torch

    pictures = batch[part]
    with torch.inference_mode():
        images = generator.generate([p.prompt for p in pictures], [p.seed for p in pictures])
    check_images(images, (len(pictures), 3, size_px, size_px))
    return list(zip(pictures, to_uint8(images.float(), "round").cpu(), strict=True))
