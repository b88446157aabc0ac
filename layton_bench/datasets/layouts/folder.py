"""Data sets whose images are single files below one directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from layton_bench.datasets.layouts.names import (
    and_more,
    left_out_notes,
    natural_key,
    readable,
    unique_keys,
)
from layton_bench.errors import MissingDataError
from layton_bench.images import IMAGE_SUFFIXES, find_images, is_hidden, read_file
from layton_bench.types import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDataset:
    """Items whose locator is the file's path below ``root``, with forward slashes.

    Attributes:
        name: as suites name it.
        root: the directory that holds the files.
        entries: the samples, in order.
        notes: what a reader of the results must know (files of equal names, …).
    """

    name: str
    root: Path
    entries: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def items(self) -> Sequence[Item]:
        """Return all samples, in order."""
        return self.entries

    def with_entries(self, entries: tuple[Item, ...], notes: tuple[str, ...]) -> FileDataset:
        """Return the same files with other keys, labels or captions, or fewer of them."""
        return replace(self, entries=entries, notes=notes)

    def with_captions(self, captions: Mapping[str, tuple[str, ...]]) -> FileDataset:
        """Return the same files with captions, found by the last part of their keys."""
        spelt = {readable(name): texts for name, texts in captions.items()}
        entries = (
            replace(item, captions=spelt.get(PurePosixPath(item.key).name, ()))
            for item in self.entries
        )
        return replace(self, entries=tuple(entries))

    def source(self, item: Item) -> Path:
        """Return the file that holds the image."""
        return self.root / str(item.locator)

    def read(self, item: Item) -> bytes:
        """Return the file's bytes; raises ImageError if it cannot be read."""
        return read_file(self.source(item))


def open_folder(root: Path, *, name: str | None = None) -> FileDataset:
    """Open all images below ``root``, recursively, in natural order (``img2`` before ``img10``).

    A key is the path below ``root`` without its extension. If two files differ in the extension
    alone, both keep it, and ``notes`` says so. ``notes`` also names folders that cannot be read.

    Raises:
        MissingDataError: there is no such directory, or no image below it.
    """
    if not root.is_dir():
        raise MissingDataError(str(root), "there is no such directory", "Check the path.")
    found = find_images(root)
    unread = tuple(left_out_notes(root.name, found.left_out))
    paths = sorted(found.paths, key=natural_key)
    if not paths:
        raise _no_image(root, unread)
    keys, notes = unique_keys(paths)
    entries = tuple(Item(key=k, locator=p) for k, p in zip(keys, paths, strict=True))
    return FileDataset(
        name=readable(name or root.name), root=root, entries=entries, notes=(*notes, *unread)
    )


def _no_image(root: Path, unread: Sequence[str]) -> MissingDataError:
    present = "; ".join(unread) or f"in it: {and_more(listing(root) or ['nothing'])}"
    known = " ".join(sorted(IMAGE_SUFFIXES))
    return MissingDataError(
        str(root),
        f"there is no image below it ({present})",
        f"It must hold files of these kinds, or .tar or .parquet files: {known}",
    )


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones not, in natural order; none if it is not read."""
    try:
        names = [readable(path.name) for path in folder.iterdir() if not is_hidden(path.name)]
    except OSError:
        return []
    return sorted(names, key=natural_key)
