"""Data sets whose images are single files below one directory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from layton_bench.errors import MissingDataError
from layton_bench.images import IMAGE_SUFFIXES, read_file
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
        """All samples, in order."""
        return self.entries

    def with_captions(self, captions: Mapping[str, tuple[str, ...]]) -> FileDataset:
        """The same files with captions, given by the last part of their keys."""
        entries = (
            replace(item, captions=captions.get(PurePosixPath(item.key).name, ()))
            for item in self.entries
        )
        return replace(self, entries=tuple(entries))

    def source(self, item: Item) -> Path:
        """The file that holds the image."""
        return self.root / str(item.locator)

    def read(self, item: Item) -> bytes:
        """The file's bytes; raises ImageError where it cannot be read."""
        return read_file(self.source(item))


def open_folder(root: Path, *, name: str | None = None) -> FileDataset:
    """All images below ``root``, recursively, in natural order (``img2`` before ``img10``).

    A key is the path below ``root`` without its extension. Where two files differ in the extension
    alone, both keep it, and ``notes`` says so.

    Raises:
        MissingDataError: there is no such directory, or no image below it.
    """
    if not root.is_dir():
        raise MissingDataError(str(root), "there is no such directory", "Check the path.")
    paths = sorted(find_images(root), key=natural_key)
    if not paths:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise MissingDataError(
            str(root), "there is no image below it", f"It should hold files of these kinds: {known}"
        )
    keys, notes = unique_keys(paths)
    entries = tuple(Item(key=k, locator=p) for k, p in zip(keys, paths, strict=True))
    return FileDataset(name=name or root.name, root=root, entries=entries, notes=notes)


def find_images(root: Path) -> Iterator[str]:
    """Paths below ``root``, with forward slashes, of files that look like images, hidden ones not.

    Directories behind symbolic links are entered, each once.
    """
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not is_hidden(s))
        for file in files:
            if Path(file).suffix.lower() in IMAGE_SUFFIXES and not is_hidden(file):
                yield Path(folder, file).relative_to(root).as_posix()


def is_hidden(name: str) -> bool:
    """Whether a system hides the file, or wrote it (``._a.jpg``, ``__MACOSX``, ``Thumbs.db``)."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def natural_key(text: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Sorting key in which runs of digits count as numbers; ties are broken by the text itself."""
    parts = re.split(r"(\d+)", text)
    pieces = ((int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts))
    return tuple(pieces), text


def unique_keys(paths: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Keys of relative paths: without extension, unless that would make two the same.

    Returns:
        The keys in order, and a note for each name that stands for several files.
    """
    stems = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    twice = repeated(stems)
    keys = [path if stem in twice else stem for path, stem in zip(paths, stems, strict=True)]
    notes = tuple(f"several files are named {stem}: each keeps its extension" for stem in twice)
    return keys, notes


def repeated(names: Iterable[str]) -> dict[str, int]:
    """The names that occur more than once and how often, in order of first appearance."""
    return {name: count for name, count in Counter(names).items() if count > 1}
