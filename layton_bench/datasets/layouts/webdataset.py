"""Tar archives of images, WebDataset shards among them, read in place and never unpacked.

Opening reads the headers alone and notes where each member lies, so that worker processes can read
any item. In a shard, members that share their name up to the first dot are one sample: an image,
its class (``.cls``), its caption (``.txt``), or both in ``.json``.
"""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from layton_bench.datasets.layouts.folder import is_hidden, repeated
from layton_bench.errors import ImageError, MissingDataError
from layton_bench.images import IMAGE_SUFFIXES
from layton_bench.types import Item

_TEXTS = ("cls", "txt", "caption", "json")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a member's bytes lie: the archive's position among the paths, offset and size."""

    shard: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TarDataset:
    """Images inside uncompressed tar archives; an item's locator is a ``Span``.

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
        """All samples, in order."""
        return self.entries

    def source(self, item: Item) -> Path:
        """The archive that holds the image."""
        return self.paths[_span(item).shard]

    def read(self, item: Item) -> bytes:
        """The image's bytes; raises ImageError where the archive lacks them."""
        span = _span(item)
        try:
            with self.paths[span.shard].open("rb") as file:
                file.seek(span.offset)
                data = file.read(span.size)
        except OSError as error:
            path = self.paths[span.shard]
            raise ImageError(f"cannot be read: {error.strerror or error}: {path}") from None
        if len(data) < span.size:
            raise ImageError(f"cut short: the archive holds {len(data)} of {span.size} bytes")
        return data


def _span(item: Item) -> Span:
    assert isinstance(item.locator, Span)
    return item.locator


def open_tars(paths: Sequence[Path], *, name: str) -> TarDataset:
    """The images of uncompressed tar archives.

    Keys are the samples' names; where archives repeat one, the archive's name comes before it.

    Raises:
        MissingDataError: an archive is missing, compressed or not one; or none holds an image.
    """
    found: list[tuple[Path, Item]] = []
    notes: list[str] = []
    for number, path in enumerate(paths):
        members, note = _members(path)
        notes += [note] * bool(note)
        with path.open("rb") as file:
            found += [(path, item) for item in _samples(members, file, number)]
    if not found:
        listed = ", ".join(map(str, paths)) or "no archive"
        raise MissingDataError(listed, "there is no image in it", "Check the archive's contents.")
    entries, repeated_notes = _with_unique_keys(found)
    return TarDataset(
        name=name, paths=tuple(paths), entries=entries, notes=(*notes, *repeated_notes)
    )


def _members(path: Path) -> tuple[dict[str, tuple[int, int]], str]:
    """Offset and size of every ordinary file by name, and a note where the archive is cut short."""
    members: dict[str, tuple[int, int]] = {}
    end = 0
    cause = ""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and _is_harmless(member.name):
                    members[member.name] = (member.offset_data, member.size)
            end = archive.offset
    except FileNotFoundError:
        raise MissingDataError(str(path), "there is no such file", "Check the path.") from None
    except (tarfile.TarError, OSError) as error:
        cause = str(error)
    if cause and not members:
        raise MissingDataError(
            str(path),
            f"it cannot be read as an uncompressed tar archive: {cause}",
            "Fetch it again; decompress a .tar.gz first (gunzip), to let items be read at random.",
        )
    if not cause and _has_end_mark(path, end):
        return members, ""
    return members, f"{path.name} is damaged or cut short after {len(members)} files"


def _has_end_mark(path: Path, end: int) -> bool:
    # tarfile takes any block that is no header for the end; a real end is a block of zeros
    with path.open("rb") as file:
        file.seek(end)
        return file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _is_harmless(name: str) -> bool:
    # keys become names of result files: none may point out of their folder
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not is_hidden(path.name)


def _samples(members: Mapping[str, tuple[int, int]], file: IO[bytes], shard: int) -> Iterator[Item]:
    grouped: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for name, place in members.items():
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        grouped[f"{folder}/{stem}" if folder else stem][extension] = place
    for key, parts in grouped.items():
        texts = {e: _read(file, parts[e]) for e in _TEXTS if e in parts}
        label, captions = _label_and_captions(texts)
        for image_key, place in _images(key, parts):
            span = Span(shard, *place)
            yield Item(key=image_key, locator=span, label=label, captions=captions)


def _images(
    key: str, parts: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """The sample's image; or every one whose name has more dots, under its longer name."""
    plain = [extension for extension in parts if f".{extension.lower()}" in IMAGE_SUFFIXES]
    if plain:
        yield key, parts[plain[0]]
        return
    for extension, place in parts.items():
        inner = PurePosixPath(extension)
        if inner.suffix.lower() in IMAGE_SUFFIXES:
            yield f"{key}.{inner.stem}", place


def _read(file: IO[bytes], place: tuple[int, int]) -> bytes:
    file.seek(place[0])
    return file.read(place[1])


def _label_and_captions(texts: Mapping[str, bytes]) -> tuple[int | None, tuple[str, ...]]:
    """Class and captions of a sample; what cannot be understood counts as not given."""
    described = _json_object(texts.get("json", b""))
    label = texts.get("cls", b"").decode("utf-8", "replace").strip()
    caption = texts.get("txt", texts.get("caption", b"")).decode("utf-8", "replace").strip()
    caption = caption or str(described.get("caption") or "")
    label = label or str(described.get("label", ""))
    return int(label) if label.isdecimal() else None, (caption,) if caption else ()


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _with_unique_keys(found: Sequence[tuple[Path, Item]]) -> tuple[tuple[Item, ...], list[str]]:
    twice = repeated(item.key for _, item in found)
    entries = tuple(
        replace(item, key=f"{path.stem}/{item.key}") if item.key in twice else item
        for path, item in found
    )
    if not twice:
        return entries, []
    first, more = next(iter(twice)), len(twice) - 1
    names = f"{first} and {more} more" if more else first
    return entries, [f"several archives hold {names}: the archive's name comes before"]
