"""Training data on disk: captioned scenes or unlabelled clutter, as a folder or as tar shards.

    ROOT/metadata.jsonl             one line an image: file_name, text, metadata (a folder that
    ROOT/00/000000.png              Hugging Face ``datasets`` opens as ``imagefolder``)
    ROOT/scenes-000000.tar          WebDataset: 000000000.png, .txt (the caption), .json

Image i depends on the seed and on i alone: any number of workers, any part of the whole, and a
longer run that begins alike give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.machine import writing_whole
from layton_bench.tasks.scenes.clutter import draw_clutter
from layton_bench.tasks.scenes.draw import render
from layton_bench.tasks.scenes.grammar import (
    SCENE_TASKS,
    TRAIN_PAIRS,
    Pair,
    SceneTask,
    sample_caption,
)
from layton_bench.tasks.scenes.layout import VARIED, SceneStyle, compose

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layton_bench.tasks.geneval import ScenePrompt

Content = Literal["captioned", "clutter"]
METADATA: Final = "metadata.jsonl"
_IMAGES_PER_FOLDER: Final = 10_000
# Images that a worker draws between two messages.
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """Settings that determine image i, apart from its index."""

    seed: int
    size_px: int
    content: Content
    pairs: frozenset[Pair]
    tasks: tuple[SceneTask, ...]
    style: SceneStyle


def write_folder(
    root: Path,
    *,
    count: int,
    seed: int,
    size_px: int,
    content: Content = "captioned",
    pairs: Collection[Pair] = TRAIN_PAIRS,
    tasks: Sequence[SceneTask] = SCENE_TASKS,
    style: SceneStyle = VARIED,
    workers: int = 0,
) -> Path:
    """Draw images 0 to count − 1 as PNG files, and return the path of their metadata.jsonl.

    Args:
        root: a folder without metadata.jsonl. It is created if it does not exist.
        count: number of images.
        seed: seed of all draws.
        size_px: side of the images.
        content: scenes with captions, or clutter without captions.
        pairs: pairs of shape and colour that scenes may show.
        tasks: tasks of the captions. A task that is given twice is twice as likely.
        style: look of the scenes.
        workers: number of processes that draw. 0 draws in this process.

    Raises:
        UserError: there is a metadata.jsonl already.
    """
    metadata = root / METADATA
    if metadata.exists():
        raise UserError(str(metadata), "it exists already", "Give an empty folder.")
    recipe = _Recipe(
        seed=seed,
        size_px=size_px,
        content=content,
        pairs=frozenset(pairs),
        tasks=tuple(tasks),
        style=style,
    )
    lines = []
    for index, (data, prompt) in enumerate(_draw_all(recipe, range(count), workers)):
        name = f"{index // _IMAGES_PER_FOLDER:02d}/{index:06d}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        lines.append(json.dumps({"file_name": name, **_described(prompt)}) + "\n")
    # last, so that a folder with metadata is complete
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_text("".join(lines), encoding="utf-8")
    return metadata


def write_shards(
    root: Path,
    *,
    count: int,
    seed: int,
    size_px: int,
    content: Content = "captioned",
    pairs: Collection[Pair] = TRAIN_PAIRS,
    tasks: Sequence[SceneTask] = SCENE_TASKS,
    style: SceneStyle = VARIED,
    images_per_shard: int = 1000,
    workers: int = 0,
) -> tuple[Path, ...]:
    """Draw the same images as ``write_folder`` into WebDataset tar shards, and return their paths.

    Existing shards are complete, and are kept. So an interrupted call can be repeated.
    """
    root.mkdir(parents=True, exist_ok=True)
    recipe = _Recipe(
        seed=seed,
        size_px=size_px,
        content=content,
        pairs=frozenset(pairs),
        tasks=tuple(tasks),
        style=style,
    )
    paths = []
    for number, start in enumerate(range(0, count, images_per_shard)):
        path = root / f"scenes-{number:06d}.tar"
        if not path.exists():
            indices = range(start, min(start + images_per_shard, count))
            _write_shard(path, recipe, indices, workers)
        paths.append(path)
    return tuple(paths)


def _write_shard(path: Path, recipe: _Recipe, indices: range, workers: int) -> None:
    with writing_whole(path) as part, tarfile.open(part, "w") as tar:
        drawn = _draw_all(recipe, indices, workers)
        for index, (data, prompt) in zip(indices, drawn, strict=True):
            described = _described(prompt)
            members = {"png": data, "json": json.dumps(described).encode()}
            if prompt is not None:
                members["txt"] = prompt.prompt.encode()
            for suffix, content in members.items():
                # TarInfo's time, owner and mode are constants, so the bytes repeat
                member = tarfile.TarInfo(f"{index:09d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _described(prompt: ScenePrompt | None) -> dict[str, object]:
    if prompt is None:
        return {"text": ""}
    return {"text": prompt.prompt, "metadata": prompt.metadata()}


def _draw_all(
    recipe: _Recipe, indices: range, workers: int
) -> Iterator[tuple[bytes, ScenePrompt | None]]:
    """Yield encoded images and their prompts, in order."""
    draw = partial(_draw, recipe)
    if workers == 0:
        yield from map(draw, indices)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(draw, indices, chunksize=_CHUNK)


def _draw(recipe: _Recipe, index: int) -> tuple[bytes, ScenePrompt | None]:
    """Return image ``index`` as PNG, and its prompt if it has one."""
    image, prompt = draw_sample(
        np.random.default_rng([recipe.seed, index]),
        size_px=recipe.size_px,
        content=recipe.content,
        pairs=recipe.pairs,
        tasks=recipe.tasks,
        style=recipe.style,
    )
    return encode(image), prompt


def encode(image: NDArray[np.uint8]) -> bytes:
    """Encode an image as PNG. Level 1 is twice as fast as the default; files are 1/3 larger."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def draw_sample(
    rng: np.random.Generator,
    *,
    size_px: int,
    content: Content = "captioned",
    pairs: Collection[Pair] = TRAIN_PAIRS,
    tasks: Sequence[SceneTask] = SCENE_TASKS,
    style: SceneStyle = VARIED,
) -> tuple[NDArray[np.uint8], ScenePrompt | None]:
    """Draw one training image, uint8 RGB (H, W, 3), and its prompt; None for clutter."""
    if content == "clutter":
        return draw_clutter(rng, size_px=size_px), None
    prompt = sample_caption(rng, pairs=pairs, tasks=tasks)
    scene = compose(prompt, rng, pairs=pairs, style=style)
    return render(scene, size_px=size_px), prompt
