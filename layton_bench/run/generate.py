"""Draw pictures from prompts into files: the work of `layton-bench generate`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from layton_bench.errors import output_error
from layton_bench.images import RoundingRule, to_pil, to_uint8
from layton_bench.machine import writing_whole
from layton_bench.models import Generator, check_images, check_prompts
from layton_bench.run.engine.halving import Halving
from layton_bench.seeds import sample_seed
from layton_bench.tasks.geneval import IMAGES_PER_PROMPT, sample_path, write_metadata
from layton_bench.types import Failure, Prompt, image_key

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.tasks.geneval import ScenePrompt

SUITE = "generate"
"""Stands for the name of a suite in the seeds."""

_SLUG_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture to draw: image ``index`` of a prompt, and its file."""

    prompt: Prompt
    index: int
    seed: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The result of a call: files that were written or found, and failures."""

    paths: tuple[Path, ...]
    num_found: int
    failures: tuple[Failure, ...]


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
            seed=sample_seed(SUITE, _what(prompt), user_seed=seed, repeat=index),
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
    """Write every prompt's metadata; the pictures to draw, seeded as the suite ``geneval`` does.

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


def file_name(number: int, prompt: Prompt, index: int) -> str:
    """Return a safe file name for any prompt, such as ``00012-a-red-cube-01.png``."""
    slug = re.sub(r"[^a-z0-9]+", "-", _what(prompt).lower())[:_SLUG_CHARACTERS].strip("-")
    return f"{number:05d}-{slug or 'prompt'}-{index:02d}.png"


def draw(
    generator: Generator,
    pictures: Sequence[Picture],
    *,
    model_name: str,
    size_px: int,
    batch_size: int,
    rounding: RoundingRule = "round",
    on_progress: Callable[[int], None] = lambda _: None,
) -> Drawn:
    """Draw the pictures that do not exist yet. A failure costs only its own picture.

    A picture exists if its file names the same model, prompt and seed.

    Raises:
        UserError: the model cannot draw one of the prompts (nothing is drawn then), or failed on
            each of the first ones; the folder cannot be written (earlier pictures are kept).
    """
    missing = [p for p in pictures if not _is_drawn(p, model_name)]
    check_prompts(generator, [p.prompt for p in missing])
    on_progress(len(pictures) - len(missing))
    failures: list[Failure] = []
    halving = Halving(lambda: "generate")
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        call = partial(_call, generator, batch, size_px, rounding)
        for made in halving([str(picture.path) for picture in batch], call):
            if isinstance(made, Failure):
                failures.append(made)
                continue
            for picture, image in made:
                save_png(picture, to_pil(image), model_name)
        on_progress(len(batch))
    failed = {failure.key for failure in failures}
    paths = tuple(p.path for p in pictures if str(p.path) not in failed)
    return Drawn(paths=paths, num_found=len(pictures) - len(missing), failures=tuple(failures))


def _call(
    generator: Generator,
    batch: Sequence[Picture],
    size_px: int,
    rounding: RoundingRule,
    part: slice,
) -> list[tuple[Picture, Tensor]]:
    """Draw a part of a batch; raises ModelOutputError, or whatever the model raises."""
    import torch

    pictures = batch[part]
    with torch.inference_mode():
        images = generator.generate([p.prompt for p in pictures], [p.seed for p in pictures])
    check_images(images, (len(pictures), 3, size_px, size_px))
    return list(zip(pictures, to_uint8(images.float(), rounding).cpu(), strict=True))


def save_png(picture: Picture, image: Image.Image, model_name: str) -> None:
    """Write one picture, completely or not at all. The file names prompt, seed and model."""
    information = PngImagePlugin.PngInfo()
    for name, value in _metadata(picture, model_name).items():
        information.add_itxt(name, value)
    try:
        with writing_whole(picture.path) as part:
            image.save(part, format="PNG", pnginfo=information)
    except OSError as error:
        raise output_error(picture.path.parent, error) from error


def grid(images: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Return pictures of one size side by side, in a square unless ``columns`` is given."""
    if not images:
        raise ValueError("a grid needs at least one picture")
    across = columns or math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    sheet = Image.new("RGB", (across * width, -(-len(images) // across) * height), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (number % across * width, number // across * height))
    return sheet


def _metadata(picture: Picture, model_name: str) -> dict[str, str]:
    return {
        "prompt": _what(picture.prompt),
        "model": model_name,
        "seed": str(picture.seed),
        "image": str(picture.index),
    }


def _is_drawn(picture: Picture, model_name: str) -> bool:
    try:
        with Image.open(picture.path) as image:
            found = image.info
    except OSError:
        return False
    wanted = _metadata(picture, model_name)
    return all(found.get(name) == value for name, value in wanted.items())


def _what(prompt: Prompt) -> str:
    """Return the text of the prompt, or its class."""
    return prompt.text if prompt.text is not None else f"class {prompt.class_id}"
