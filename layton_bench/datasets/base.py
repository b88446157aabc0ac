"""What a data set is: ordered items, the bytes of each, and a fingerprint of the contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from layton_bench.types import Item


class Dataset(Protocol):
    """An ordered collection of images or prompts. It is picklable: worker processes read from it.

    Three more attributes are optional. ``source(item)`` is the file that holds the item; with it,
    the item's digest is kept between runs. ``notes`` is what a reader of the results must know.
    ``reads_in_order = True`` means that only one process, in order, reads quickly.
    """

    @property
    def name(self) -> str:
        """The name that suites use."""

    def items(self) -> Sequence[Item]:
        """Return all samples in a fixed order; quick after the first call."""

    def read(self, item: Item) -> bytes:
        """Return the bytes of the image file; raises ImageError if they cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A data set's name and how to open it.

    Attributes:
        name: as suites name it (``coco-val2017``).
        summary: one line for ``list`` and ``doctor``.
        num_items: how many samples the complete data set has.
        has_images: False if items are prompts without images.
        open: data root (None if the user gave none) → data set; raises MissingDataError with the
            path that is expected and how to get the data.
    """

    name: str
    summary: str
    num_items: int | None
    open: Callable[[Path | None], Dataset]
    has_images: bool = True
