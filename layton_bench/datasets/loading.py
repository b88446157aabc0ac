"""From items to batches of preprocessed images, read ahead by worker processes.

Workers return uint8 arrays and do not import torch. The order is kept. An item that cannot be used
becomes a Failure of the batch in which it would have been.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from layton_bench.datasets.base import Dataset
from layton_bench.datasets.protocols import Protocol
from layton_bench.errors import ImageError, PluginError, UserError, guarded
from layton_bench.images import UInt8Array, decode_rgb
from layton_bench.machine import available_cores, map_ahead
from layton_bench.types import Failure, ImageBatch, Item

BATCHES_AHEAD = 2

ITEMS_PER_WORKER = 32
"""Starting a worker takes about as long as reading this many images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The result of reading one item.

    Attributes:
        item: the sample.
        pixels: uint8 (3, H, W); None if the item cannot be used.
        reason: why it cannot be used.
        is_upscaled: whether the protocol enlarged it.
    """

    item: Item
    pixels: UInt8Array | None = None
    reason: str = ""
    is_upscaled: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of an item, or why they cannot be read."""

    item: Item
    data: bytes = b""
    reason: str = ""


def fetch(dataset: Dataset, item: Item) -> Fetched:
    """Read an item's bytes; an error of the file or of a plugin's code becomes its reason."""
    try:
        with guarded():
            return Fetched(item, data=dataset.read(item))
    except (ImageError, PluginError) as error:
        return Fetched(item, reason=str(error))


@dataclass(frozen=True, slots=True)
class Decoder:
    """Bytes → preprocessed pixels, in a worker."""

    protocol: Protocol
    size_px: int

    def __call__(self, fetched: Fetched) -> Loaded:
        """Return the pixels of an item, or why it has none."""
        if fetched.reason:
            return Loaded(item=fetched.item, reason=fetched.reason)
        try:
            with guarded():
                image = decode_rgb(fetched.data)
                pixels = _checked(self.protocol, self.protocol.apply(image, self.size_px))
                return Loaded(
                    item=fetched.item,
                    pixels=np.ascontiguousarray(pixels.transpose(2, 0, 1)),
                    is_upscaled=self.protocol.is_upscaled(image.size, self.size_px),
                )
        except (ImageError, PluginError) as error:
            is_memory = isinstance(getattr(error, "cause", None), MemoryError)
            reason = "too large: there is not enough memory for it" if is_memory else str(error)
            return Loaded(item=fetched.item, reason=reason)


def _checked(protocol: Protocol, pixels: UInt8Array) -> UInt8Array:
    found = np.asarray(pixels)
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
        what = f"{found.dtype} {found.shape}"
        raise ImageError(f"protocol {protocol.id} gave {what} instead of uint8 (H, W, 3)")
    return found


def _killed(item: Item) -> Loaded:
    """The result for an item at which a worker died."""
    reason = "the process that read it died (killed, or out of memory)"
    return Loaded(item=item, reason=reason)


def _killed_at(fetched: Fetched) -> Loaded:
    return _killed(fetched.item)


@dataclass(frozen=True, slots=True)
class Reader:
    """Item → preprocessed pixels; the worker reads the bytes too."""

    dataset: Dataset
    decoder: Decoder

    def __call__(self, item: Item) -> Loaded:
        """Return the pixels of an item, or why it has none."""
        return self.decoder(fetch(self.dataset, item))


def load(
    dataset: Dataset,
    items: Sequence[Item],
    protocol: Protocol,
    size_px: int | None,
    *,
    batch_size: int,
    num_workers: int | None = None,
) -> Generator[ImageBatch, None, None]:
    """Yield batches of preprocessed images, in the order of the items.

    All images of a batch have one size. Under a protocol that keeps sizes, a batch ends when the
    size changes. The last batch may hold failures and no images. If you may stop early, close the
    iterator (``contextlib.closing``): this ends its workers.

    Args:
        dataset: what reads the items.
        items: which samples, in order.
        protocol: how pictures become pixels.
        size_px: side of the squares; None only for protocols that keep sizes.
        batch_size: the largest number of images in a batch.
        num_workers: processes that read ahead; 0 reads in this process; None chooses a number.

    A worker that dies costs the item that it read; the others are read by new ones.

    Raises:
        UserError: worker processes cannot be started.
    """
    decoder = Decoder(protocol, _checked_size(protocol, size_px))
    if num_workers is None:
        num_workers = fitting_workers(len(items))
    map_workers = partial(map_ahead, num_workers=num_workers, ahead=BATCHES_AHEAD * batch_size)
    if getattr(dataset, "reads_in_order", False):
        fetched = (fetch(dataset, item) for item in items)
        results = map_workers(decoder, fetched, when_killed=_killed_at)
    else:
        results = map_workers(Reader(dataset, decoder), items, when_killed=_killed)
    try:
        yield from batches(results, batch_size=batch_size)
    finally:
        results.close()


def _checked_size(protocol: Protocol, size_px: int | None) -> int:
    if size_px is None and protocol.is_square:
        raise UserError(
            f"protocol {protocol.id}",
            "it makes squares, and no size was given",
            "Give size_px in the suite, or use native@1.",
        )
    return size_px or 0


def fitting_workers(num_items: int) -> int:
    """Return how many workers to start: one per core, and none for few images."""
    return min(available_cores(), num_items // ITEMS_PER_WORKER)


def prompt_batches(items: Sequence[Item], *, batch_size: int) -> Iterator[ImageBatch]:
    """Yield batches of prompts without images, in the order of the items."""
    import torch

    for start in range(0, len(items), batch_size):
        part = tuple(items[start : start + batch_size])
        yield ImageBatch(items=part, images=torch.empty(len(part), 3, 0, 0, dtype=torch.uint8))


def batches(results: Iterable[Loaded], *, batch_size: int) -> Iterator[ImageBatch]:
    """Yield batches of one size; a failure belongs to the batch that is filled after it."""
    current = _Gathering()
    for loaded in results:
        if loaded.pixels is None:
            current.failures.append(
                Failure(key=loaded.item.key, stage="read", reason=loaded.reason)
            )
            continue
        if current.pixels and current.pixels[0].shape != loaded.pixels.shape:
            yield current.batch()
            current = _Gathering()
        current.add(loaded.item, loaded.pixels, loaded.is_upscaled)
        if len(current.items) == batch_size:
            yield current.batch()
            current = _Gathering()
    if current.items or current.failures:
        yield current.batch()


@dataclass(slots=True)
class _Gathering:
    """A batch that is not complete yet."""

    items: list[Item] = field(default_factory=list)
    pixels: list[UInt8Array] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    upscaled: list[str] = field(default_factory=list)

    def add(self, item: Item, pixels: UInt8Array, is_upscaled: bool) -> None:
        self.items.append(item)
        self.pixels.append(pixels)
        if is_upscaled:
            self.upscaled.append(item.key)

    def batch(self) -> ImageBatch:
        import torch

        stacked = np.stack(self.pixels) if self.pixels else np.empty((0, 3, 0, 0), np.uint8)
        return ImageBatch(
            items=tuple(self.items),
            images=torch.from_numpy(stacked),
            failures=tuple(self.failures),
            upscaled=tuple(self.upscaled),
        )
