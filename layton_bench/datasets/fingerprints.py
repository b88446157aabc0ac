"""What a set of images contains, whatever its layout and place.

The fingerprint is the SHA-256 of the sorted SHA-256 digests of the image files, one per line. The
same files in a folder, a tar archive or a parquet file have the same fingerprint.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from layton_bench.datasets.base import Dataset
from layton_bench.datasets.digest_cache import DigestCache, Stamp
from layton_bench.errors import ImageError, LaytonBenchError, PluginError, guarded
from layton_bench.machine import Reporter, Silent, open_regular
from layton_bench.types import Item

UNREADABLE = "unreadable"
"""In place of a digest if an item's bytes cannot be read. The fingerprint counts it."""

# progress is shown if at least so many items must be read
_MANY = 1000


@runtime_checkable
class HasSource(Protocol):
    """A data set that knows the file in which an item is stored."""

    def source(self, item: Item) -> Path:
        """Return that file. If it changes, the item may have changed."""


@runtime_checkable
class HasContent(Protocol):
    """A data set whose items are not images."""

    def content(self, item: Item) -> bytes:
        """Return the bytes that count for the item in the fingerprint."""


def fingerprint(
    dataset: Dataset, items: Sequence[Item], *, reporter: Reporter | None = None
) -> str:
    """Return one digest of the contents of these items. Order, names and layout do not count.

    If many items must be read, ``reporter`` shows the progress.
    """
    return joined(content_digests(dataset, items, reporter=reporter))


def prompted_fingerprint(dataset: Dataset, items: Sequence[Item]) -> str:
    """Return the fingerprint of images together with the prompt or class of each."""
    prompts = (repr((next(iter(item.captions), None), item.label)) for item in items)
    return joined(map(" ".join, zip(content_digests(dataset, items), prompts, strict=True)))


def files_digest(paths: Sequence[Path]) -> str:
    """Return one digest of the contents of files. Order and names do not count."""
    return joined(file_digests(paths))


def file_digests(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the SHA-256 of each file in lower-case hex, or ``unreadable``."""
    items = [Item(key=str(i), locator=i) for i in range(len(paths))]
    return content_digests(_Files(paths), items)


def sample_digests(
    dataset: Dataset, items: Sequence[Item], *, reporter: Reporter | None = None
) -> dict[str, str]:
    """Return sample key → SHA-256 of the sample's bytes: which name has which content."""
    digests = content_digests(dataset, items, reporter=reporter)
    return {item.key: digest for item, digest in zip(items, digests, strict=True)}


def joined(lines: Iterable[str]) -> str:
    """Return the SHA-256 of these lines, sorted."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def duplicates(dataset: Dataset, items: Sequence[Item]) -> tuple[tuple[str, ...], ...]:
    """Return the keys of items with equal bytes, one group each, in the order of the items."""
    groups: dict[str, list[str]] = defaultdict(list)
    for item, digest in zip(items, content_digests(dataset, items), strict=True):
        if digest != UNREADABLE:
            groups[digest].append(item.key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)


def content_digests(
    dataset: Dataset | _Files, items: Sequence[Item], *, reporter: Reporter | None = None
) -> tuple[str, ...]:
    """Return the SHA-256 of each item's bytes in lower-case hex, or ``unreadable``.

    Digests of files are kept from run to run (``digest_cache``), so they are not read again.
    """
    stamps = _stamps(dataset, items)
    with closing(DigestCache()) as cache:
        known = [cache.find(stamp) if stamp else None for stamp in stamps]
        lacking = [i for i, digest in enumerate(known) if digest is None]
        shown = reporter if reporter and len(lacking) >= _MANY else Silent()
        computed = _shown(_compute(dataset, [items[i] for i in lacking]), len(lacking), shown)
        fresh = dict(zip(lacking, computed, strict=True))
        cache.keep(
            (stamp, digest)
            for i, digest in fresh.items()
            if (stamp := stamps[i]) is not None and digest != UNREADABLE
        )
    return tuple(digest or fresh[i] for i, digest in enumerate(known))


def _compute(dataset: Dataset | _Files, items: Sequence[Item]) -> Iterator[str]:
    # threads: reading and hashing both release the interpreter's lock
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2)) as pool:
        yield from pool.map(lambda item: _digest(dataset, item), items)


def _shown(digests: Iterator[str], total: int, reporter: Reporter) -> Iterator[str]:
    reporter.start("Fingerprint of the data", total)
    try:
        for digest in digests:
            yield digest
            reporter.advance(1)
    finally:
        reporter.finish()


def _digest(dataset: Dataset | _Files, item: Item) -> str:
    try:
        if isinstance(dataset, _Files):
            return dataset.digest(item)
        with guarded():
            content = dataset.content if isinstance(dataset, HasContent) else dataset.read
            return hashlib.sha256(content(item)).hexdigest()
    except (ImageError, PluginError, OSError):
        return UNREADABLE


@dataclass(frozen=True, slots=True)
class _Files:
    """Files that are no data set. Their digests are kept as those of images are."""

    paths: Sequence[Path]

    def source(self, item: Item) -> Path:
        return self.paths[int(item.key)]

    def digest(self, item: Item) -> str:
        # not read whole: a model's file may be larger than memory
        with open_regular(self.source(item)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _stamps(dataset: Dataset | _Files, items: Sequence[Item]) -> list[Stamp | None]:
    """One stamp per item; None if the item has no file, or its file cannot be examined."""
    if not isinstance(dataset, HasSource):
        return [None] * len(items)
    seen: dict[Path, os.stat_result | None] = {}
    stamps: list[Stamp | None] = []
    for item in items:
        path = _source(dataset, item)
        if path is None:
            stamps.append(None)
            continue
        if path not in seen:
            seen[path] = _stat(path)
        found = seen[path]
        stamps.append(None if found is None else Stamp.of(path, repr(item.locator), found))
    return stamps


def _source(dataset: HasSource, item: Item) -> Path | None:
    try:
        with guarded():
            return Path(dataset.source(item))
    except (LaytonBenchError, OSError):
        return None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
