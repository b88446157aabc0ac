"""Pictures of ``generate`` as files: their names, what they say of themselves, and a grid of them.

A picture depends on its prompt, index and seed, and on the settings: model, options, dtype,
weights, code of the plugin, and versions of libraries. Each PNG file names all of them. The folder
names the settings in ``generated.json``, so that pictures of different settings are never mixed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, PngImagePlugin
from pydantic import JsonValue

from layton_bench.errors import UserError, output_error
from layton_bench.machine import read_json, write_whole, writing_whole
from layton_bench.types import Prompt

Settings: TypeAlias = Mapping[str, JsonValue]
"""Everything that determines a picture, apart from its prompt, index and seed."""

SETTINGS_FILE = "generated.json"

_SLUG_CHARACTERS = 60
_MAX_GRID_PX = 8192
_ANOTHER = "Name another folder with --out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture to draw: image ``index`` of a prompt, and its file."""

    prompt: Prompt
    index: int
    seed: int
    path: Path


def words(prompt: Prompt) -> str:
    """Return the text of a prompt, or its class."""
    return prompt.text if prompt.text is not None else f"class {prompt.class_id}"


def file_name(number: int, prompt: Prompt, index: int, *, seed: int = 0) -> str:
    """Return a safe file name for any prompt, such as ``00012-a-red-cube-01.png``.

    Args:
        number: number of the prompt.
        prompt: the prompt.
        index: index of the image.
        seed: the seed that the user gave; seeds other than 0 are part of the name.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", words(prompt).lower())[:_SLUG_CHARACTERS].strip("-")
    of_seed = f"-seed{seed}" if seed else ""
    return f"{number:05d}-{slug or 'prompt'}{of_seed}-{index:02d}.png"


def save_png(picture: Picture, image: Image.Image, settings: Settings) -> None:
    """Write one picture, completely or not at all. The file says what determined it."""
    information = PngImagePlugin.PngInfo()
    for name, value in _metadata(picture, settings).items():
        information.add_itxt(name, value)
    try:
        with writing_whole(picture.path) as part:
            image.save(part, format="PNG", pnginfo=information)
    except OSError as error:
        raise output_error(picture.path.parent, error) from error


def is_drawn(picture: Picture, settings: Settings) -> bool:
    """Return whether the picture's file exists and is whole.

    Raises:
        UserError: the file holds another picture.
    """
    try:
        with Image.open(picture.path, formats=("PNG",)) as image:
            found = dict(image.info)
            image.verify()  # the checksums of all chunks
    except (OSError, SyntaxError, ValueError):  # missing, cut short or damaged
        return False
    for name, wanted in _metadata(picture, settings).items():
        if found.get(name) != wanted:
            thing, reason = str(picture.path), f"it holds a picture of another {name}"
            raise UserError(thing, reason, _ANOTHER)
    return True


def check_folder(folder: Path, settings: Settings) -> None:
    """Raise UserError if the folder's pictures were drawn with other settings."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        return
    found = read_json(path, remedy=_ANOTHER)
    before, now = _flat(found if isinstance(found, dict) else {}), _flat(settings)
    changed = [
        f"{name} was {before.get(name, 'not set')} and is now {now.get(name, 'not set')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        reason = f"its pictures were drawn with other settings: {'; '.join(changed)}"
        raise UserError(f"folder {folder}", reason, _ANOTHER)


def claim_folder(folder: Path, settings: Settings) -> None:
    """Write into the folder what draws its pictures."""
    try:
        write_whole(folder / SETTINGS_FILE, f"{json.dumps(settings, indent=2)}\n")
    except OSError as error:
        raise output_error(folder, error) from error


def write_grid(paths: Sequence[Path], target: Path) -> None:
    """Write pictures side by side into one PNG file; raises UserError if it cannot be written."""
    try:
        sheet = grid(paths)
        with writing_whole(target) as part:
            sheet.save(part, format="PNG")
    except OSError as error:
        raise output_error(target.parent, error) from error


def grid(pictures: Sequence[Path | Image.Image], *, columns: int | None = None) -> Image.Image:
    """Return pictures side by side, in a square unless ``columns`` is given.

    Each is in the middle of a cell as large as the largest one. Cells of a grid above 8192 px are
    made smaller, and the pictures with them.
    """
    if not pictures:
        raise ValueError("a grid needs at least one picture")
    across = columns or math.ceil(math.sqrt(len(pictures)))
    down = -(-len(pictures) // across)
    sizes = [_size(picture) for picture in pictures]
    width, height = (max(size[side] for size in sizes) for side in (0, 1))
    scale = min(1.0, _MAX_GRID_PX / (across * width), _MAX_GRID_PX / (down * height))
    width, height = max(1, int(width * scale)), max(1, int(height * scale))
    sheet = Image.new("RGB", (across * width, down * height), "white")
    for number, picture in enumerate(pictures):
        tile = _opened(picture)
        if scale < 1:
            tile.thumbnail((width, height))
        left = number % across * width + (width - tile.width) // 2
        top = number // across * height + (height - tile.height) // 2
        sheet.paste(tile, (left, top))
    return sheet


def _size(picture: Path | Image.Image) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.size
    with Image.open(picture, formats=("PNG",)) as image:
        return image.size


def _opened(picture: Path | Image.Image) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    with Image.open(picture, formats=("PNG",)) as image:  # one at a time: files are limited
        return image.convert("RGB")


def _metadata(picture: Picture, settings: Settings) -> dict[str, str]:
    return {
        "prompt": words(picture.prompt),
        "model": str(settings["model"]),
        "seed": str(picture.seed),
        "image": str(picture.index),
        "settings": json.dumps(settings, sort_keys=True),
    }


def _flat(settings: Settings, prefix: str = "") -> dict[str, str]:
    """Return the settings without nesting: ``options.steps`` → ``4``."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
