"""Tar archives of images, WebDataset shards among them, read in place and never unpacked.

Opening reads the headers alone (``layton.images.archives``), so that worker processes can read any
item. In a shard, members that share their name up to the first dot are one sample: an image, its
class (``.cls``), its caption (``.txt``), or both in ``.json``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from layton_bench.datasets.captions import captions_of
from layton_bench.datasets.layouts.names import and_more, left_out_notes, readable, repeated
from layton_bench.errors import ImageError, MissingDataError
from layton_bench.images import IMAGE_SUFFIXES, Archive, Span, read_index, read_span
from layton_bench.types import Item

_TEXTS = ("cls", "txt", "caption", "json")
_MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is: the archive's position among the paths, and its place in it."""

    shard: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class TarDataset:
    """Images inside uncompressed tar archives; an item's locator is a ``Place``.

    Attributes:
        name: as suites name it.
        paths: the archives.
        entries: the samples, in the order of the archives.
        notes: what a reader of the results must know.
    """

    name: str
    paths: tuple[Path, ...]
    entries: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def items(self) -> Sequence[Item]:
        """Return all samples, in order."""
        return self.entries

    def with_entries(self, entries: tuple[Item, ...], notes: tuple[str, ...]) -> TarDataset:
        """Return the same archives with other keys, labels or captions, or fewer samples."""
        return replace(self, entries=entries, notes=notes)

    def source(self, item: Item) -> Path:
        """Return the archive that holds the image."""
        return self.paths[_place(item).shard]

    def read(self, item: Item) -> bytes:
        """Return the image's bytes; raises ImageError if the archive does not hold them all."""
        return read_span(self.source(item), _place(item).span)


def _place(item: Item) -> Place:
    assert isinstance(item.locator, Place)
    return item.locator


def open_tars(paths: Sequence[Path], *, name: str) -> TarDataset:
    """Open the images of uncompressed tar archives.

    Keys are the samples' names, as in the folder that was packed. If several archives have the same
    name, the archive's name is put before it. ``notes`` says what is left out.

    Raises:
        MissingDataError: an archive is missing, compressed or not one; or none holds an image.
    """
    found: list[tuple[Path, Item]] = []
    notes: list[str] = []
    for number, path in enumerate(paths):
        archive = _index(path)
        samples, ignored = _samples(archive, path, number)
        found += [(path, item) for item in samples]
        if archive.damage:
            notes.append(f"{path.name} is damaged or cut short after {len(archive.spans)} files")
        notes += left_out_notes(path.name, archive.left_out | ignored)
    if not found:
        listed = ", ".join(map(str, paths)) or "no archive"
        reason = "; ".join(["there is no image in it", *notes])
        raise MissingDataError(listed, reason, "Check the archive's contents.")
    entries, repeated_notes = _with_unique_keys(found)
    return TarDataset(
        name=name, paths=tuple(paths), entries=entries, notes=(*notes, *repeated_notes)
    )


def _index(path: Path) -> Archive:
    try:
        archive = read_index(path)
    except ImageError as error:
        raise MissingDataError(str(path), str(error), "Check the path.") from None
    if archive.damage and not archive.spans:
        raise MissingDataError(
            str(path),
            f"it cannot be read as an uncompressed tar archive: {archive.damage}",
            "Fetch it again; decompress a .tar.gz first (gunzip), to let items be read at random.",
        )
    return archive


def _samples(archive: Archive, path: Path, shard: int) -> tuple[list[Item], dict[str, str]]:
    """The samples of an archive, and the images in it that belong to none."""
    items: list[Item] = []
    ignored: dict[str, str] = {}
    for stem, parts in _grouped(archive).items():
        texts = {e: _text(path, parts[e]) for e in _TEXTS if e in parts}
        label, captions = _label_and_captions(texts)
        images = dict(_images(stem, parts))
        for key, extension in images.items():
            place = Place(shard, parts[extension])
            items.append(Item(key=readable(key), locator=place, label=label, captions=captions))
        for extension in parts:
            if _is_image(extension) and extension not in images.values():
                ignored[f"{stem}.{extension}"] = "its sample has an image of the plain name"
    return items, ignored


def _grouped(archive: Archive) -> Mapping[str, dict[str, Span]]:
    """Name up to the first dot → the rest of the name → place."""
    grouped: dict[str, dict[str, Span]] = defaultdict(dict)
    for name, span in archive.spans.items():
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        grouped[f"{folder}/{stem}" if folder else stem][extension] = span
    return grouped


def _images(stem: str, parts: Mapping[str, Span]) -> Iterator[tuple[str, str]]:
    """Key and extension of the sample's image.

    Images of several plain extensions keep theirs, as in a folder. If all names have more dots,
    each is a sample under its longer name.
    """
    plain = [extension for extension in parts if f".{extension.lower()}" in IMAGE_SUFFIXES]
    if len(plain) == 1:
        yield stem, plain[0]
        return
    for extension in plain or filter(_is_image, parts):
        yield f"{stem}.{extension if plain else PurePosixPath(extension).stem}", extension


def _is_image(extension: str) -> bool:
    return PurePosixPath(f"a.{extension}").suffix.lower() in IMAGE_SUFFIXES


def _text(path: Path, span: Span) -> bytes:
    """A small member; nothing of one that cannot be read or is no text."""
    try:
        return read_span(path, span) if span.size <= _MAX_TEXT_BYTES else b""
    except ImageError:
        return b""


def _label_and_captions(texts: Mapping[str, bytes]) -> tuple[int | None, tuple[str, ...]]:
    """Class and captions of a sample; what cannot be understood counts as not given."""
    described = _json_object(texts.get("json", b""))
    label = _decoded(texts.get("cls", b"")) or str(described.get("label", ""))
    captions = captions_of(_decoded(texts.get("txt", texts.get("caption", b""))))
    captions = captions or captions_of(described.get("caption"))
    return int(label) if label.isdecimal() and len(label) < 10 else None, captions


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace").strip()


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _with_unique_keys(found: Sequence[tuple[Path, Item]]) -> tuple[tuple[Item, ...], list[str]]:
    twice = repeated(item.key for _, item in found)
    entries = tuple(
        replace(item, key=f"{readable(path.stem)}/{item.key}") if item.key in twice else item
        for path, item in found
    )
    if not twice:
        return entries, []
    return entries, [f"several archives hold {and_more(list(twice))}: the archive's name is added"]
