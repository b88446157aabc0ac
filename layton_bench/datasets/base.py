"""What a data set is: ordered items, the bytes of each, and a fingerprint of the contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from layton_bench.types import Item


class Dataset(Protocol):
    """An ordered collection of images (or prompts), picklable, so that workers can read from it.

    Three attributes are looked for and need not be there: ``source(item)``, the file that holds
    the item, lets its digest be kept between runs; ``notes``, what a reader of the results must
    know; ``reads_in_order = True``, where reading is quick only in order and by one process.
    """

    @property
    def name(self) -> str:
        """As suites name it."""

    def items(self) -> Sequence[Item]:
        """All samples, in the data set's fixed order; cheap after the first call."""

    def read(self, item: Item) -> bytes:
        """The encoded image file; raises ImageError where it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A data set's name and how to open it.

    Attributes:
        name: as suites name it (``coco-val2017``).
        summary: one line for ``list`` and ``doctor``.
        num_items: how many samples the complete data set has.
        has_images: False where items are prompts alone.
        open: data root (None where the user gave none) → data set; raises MissingDataError with
            the exact path expected and how to get it.
    """

    name: str
    summary: str
    num_items: int | None
    open: Callable[[Path | None], Dataset]
    has_images: bool = True
