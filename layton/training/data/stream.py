"""The stream of training samples: position → sample, crop, tensor; and its batches.

Position p of the stream belongs to epoch p // n. Its order is a permutation drawn from (seed,
epoch). Crop and mirror follow from (seed, p). Nothing else is random and no state is kept. A run
that starts at step s therefore reads the same as an uninterrupted one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from layton.training.data.seeds import derive
from layton.training.data.sources import Sample, open_source
from layton.training.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layton.training.recipe import DataRecipe, RunRecipe, Stage

__all__ = ["Batch", "Stream", "collate", "crop", "make_loader", "opened"]

# what a phase sees: "seeds" int64 (B,); "captions" list[str]; and as the sources have them
# "images" float32 (B, 3, S, S) in [-1, 1], "codes" int64 (B, N), "latents" float32 (B, C, h, w)
Batch = dict[str, Any]

_GREY = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # BT.601 luma


class Stream(Dataset[dict[str, Any]]):
    """The endless stream of samples of a recipe; indices are (position, image side)."""

    def __init__(self, recipe: DataRecipe, *, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        self._sources = [open_source(source) for source in recipe.sources]
        counts = [
            len(source) * wanted.repeat
            for source, wanted in zip(self._sources, recipe.sources, strict=True)
        ]
        self._ends = list(accumulate(counts))

    @property
    def epoch_size(self) -> int:
        """Samples of an epoch, repeats counted."""
        return self._ends[-1]

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        """The sample at a position of the stream, cut to a side in pixels."""
        position, size_px = index
        sample = self._load(position)
        rng = np.random.default_rng(derive(self._seed, "crop", position))
        item: dict[str, Any] = {
            "seeds": torch.tensor(derive(self._seed, "sample", position)),
            "captions": sample.caption,
        }
        if sample.image is not None:
            item["images"] = crop(sample.image, size_px, self._recipe, rng)
        for name, tensor in (sample.tensors or {}).items():
            # (variants, …): several crops of one image were kept, one is drawn
            item[name] = tensor[int(rng.integers(len(tensor)))]
        return item

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Batch | DataError:
        """Return a batch, or its error: an exception would lose its parts between processes."""
        try:
            return collate([self[index] for index in indices])
        except DataError as error:
            return error

    def _load(self, position: int) -> Sample:
        epoch, place = divmod(position, self.epoch_size)
        number = int(_permutation(self._seed, epoch, self.epoch_size)[place])
        which = next(i for i, end in enumerate(self._ends) if number < end)
        start = self._ends[which - 1] if which else 0
        source = self._sources[which]
        return source.load((number - start) % len(source))


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(derive(seed, "epoch", epoch)).permutation(size)


def crop(image: Image.Image, size_px: int, recipe: DataRecipe, rng: np.random.Generator) -> Tensor:
    """A square of an RGB picture as float32 (3, size_px, size_px) in [-1, 1].

    The box is resampled once (bicubic), even if several cuts chose it.
    """
    width, height = image.size
    side = min(width, height) * math.sqrt(rng.uniform(recipe.min_area, 1.0))
    across, down = rng.random(2) if recipe.min_area < 1.0 else (0.5, 0.5)
    left, top = (width - side) * across, (height - side) * down
    if recipe.resize_px is not None and recipe.resize_px > size_px:
        part = side * size_px / recipe.resize_px
        across, down = rng.random(2)
        left, top, side = left + (side - part) * across, top + (side - part) * down, part
    box = (left, top, left + side, top + side)
    small = image.resize((size_px, size_px), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    tensor = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1.0
    if recipe.flip and rng.random() < 0.5:
        tensor = tensor.flip(2)
    return _jittered(tensor, recipe.color_jitter, rng) if recipe.color_jitter else tensor


def _jittered(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    light = (image + 1) * brightness
    light = (light - light.mean()) * contrast + light.mean()
    grey = (light * _GREY).sum(0, keepdim=True)
    jittered: Tensor = (light - grey) * saturation + grey - 1
    return jittered.clamp_(-1, 1)


class _Steps(Sampler[list[tuple[int, int]]]):
    """Batches of positions, each `batch_size` long over all processes together."""

    def __init__(self, first: int, count: int, batch_size: int, size_px: int) -> None:
        self.batch_size = batch_size
        self.drop_last = True
        self._first, self._count, self._size_px = first, count, size_px

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self._count):
            start = self._first + number * self.batch_size
            yield [(start + i, self._size_px) for i in range(self.batch_size)]


def make_loader(
    stream: Stream, recipe: RunRecipe, stage: Stage, *, first_position: int, num_steps: int
) -> DataLoader[Batch | DataError]:
    """Batches of one stage from a position on, one for each forward pass of all processes.

    Pass each to `opened`.
    """
    batch_size = stage.batch_size // recipe.accumulate
    return DataLoader(
        stream,
        batch_sampler=_Steps(
            first_position, num_steps * recipe.accumulate, batch_size, stage.size_px
        ),
        num_workers=recipe.data.num_workers,
        collate_fn=_as_it_is,
        persistent_workers=False,
    )


def _as_it_is(batch: Any) -> Any:
    # the stream makes whole batches itself
    return batch


def opened(batch: Batch | DataError) -> Batch:
    """Return a loader's batch, or raise its error.

    Raises:
        DataError: a sample could not be read; the message names it.
    """
    if isinstance(batch, DataError):
        raise batch
    return batch


def collate(items: Sequence[dict[str, Any]]) -> Batch:
    """Stack tensors, list words.

    Raises:
        DataError: some samples have a part that others lack.
    """
    names = items[0].keys()
    if any(item.keys() != names for item in items):
        raise DataError(
            "data.sources",
            "some sources hold images and others extracted tensors",
            "Use one kind of source for a recipe.",
        )
    columns = {name: [item[name] for item in items] for name in names}
    return {
        name: torch.stack(values) if isinstance(values[0], Tensor) else values
        for name, values in columns.items()
    }
