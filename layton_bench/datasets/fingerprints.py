"""What a set of images contains, apart from where and in which layout it lies.

The fingerprint is the SHA-256 over the sorted SHA-256 digests of the image files' bytes, one to a
line: the same files in a folder, a tar shard or a parquet file have the same one. Digests are kept
in the user's cache directory by path, size and time of change, so that the next run need not read
the files again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from layton_bench.datasets.base import Dataset
from layton_bench.errors import ImageError
from layton_bench.machine import Reporter, Silent, cache_folder
from layton_bench.types import Item

UNREADABLE = "unreadable"
"""In place of a digest where an item's bytes cannot be had; the fingerprint counts them."""

_SETTLED_NS = 2_000_000_000
# from so many items to be read on, their reading is told of
_MANY = 1000
_log = logging.getLogger(__name__)


@runtime_checkable
class HasSource(Protocol):
    """A data set that can name the file that holds an item, alone or among others."""

    def source(self, item: Item) -> Path:
        """The file whose change means that the item may have changed."""


@runtime_checkable
class HasContent(Protocol):
    """A data set whose items are not images."""

    def content(self, item: Item) -> bytes:
        """What stands for the item in the fingerprint."""


def fingerprint(
    dataset: Dataset, items: Sequence[Item], *, reporter: Reporter | None = None
) -> str:
    """Digest of the contents of these items, whatever their order, names and layout.

    A reporter is told how it goes on where many items have to be read.
    """
    lines = "\n".join(sorted(content_digests(dataset, items, reporter=reporter)))
    return hashlib.sha256(lines.encode()).hexdigest()


def prompted_fingerprint(dataset: Dataset, items: Sequence[Item]) -> str:
    """As ``fingerprint``, of images together with what is drawn for each."""
    prompts = (repr((next(iter(item.captions), None), item.label)) for item in items)
    pairs = zip(content_digests(dataset, items), prompts, strict=True)
    return hashlib.sha256("\n".join(sorted(map(" ".join, pairs))).encode()).hexdigest()


def files_digest(paths: Sequence[Path]) -> str:
    """Digest of the contents of files, whatever their order and names."""
    items = [Item(key=str(i), locator=i) for i in range(len(paths))]
    lines = "\n".join(sorted(content_digests(_Files(paths), items)))
    return hashlib.sha256(lines.encode()).hexdigest()


def duplicates(dataset: Dataset, items: Sequence[Item]) -> tuple[tuple[str, ...], ...]:
    """Keys of items that hold the same bytes, one group each, in the order of the items."""
    groups: dict[str, list[str]] = defaultdict(list)
    for item, digest in zip(items, content_digests(dataset, items), strict=True):
        if digest != UNREADABLE:
            groups[digest].append(item.key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)


def content_digests(
    dataset: Dataset | _Files, items: Sequence[Item], *, reporter: Reporter | None = None
) -> tuple[str, ...]:
    """SHA-256 of each item's bytes in lower-case hex, or ``unreadable``."""
    stamps = _stamps(dataset, items)
    with closing(_DigestCache()) as cache:
        known = [cache.find(stamp) if stamp else None for stamp in stamps]
        lacking = [i for i, digest in enumerate(known) if digest is None]
        told = reporter if reporter and len(lacking) >= _MANY else Silent()
        computed = _told(_compute(dataset, [items[i] for i in lacking]), len(lacking), told)
        fresh = dict(zip(lacking, computed, strict=True))
        cache.keep((stamps[i], digest) for i, digest in fresh.items())
    return tuple(digest or fresh[i] for i, digest in enumerate(known))


def _compute(dataset: Dataset | _Files, items: Sequence[Item]) -> Iterator[str]:
    # threads: reading and hashing both release the interpreter's lock
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2)) as pool:
        yield from pool.map(lambda item: _digest(dataset, item), items)


def _told(digests: Iterator[str], total: int, reporter: Reporter) -> Iterator[str]:
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
        content = dataset.content if isinstance(dataset, HasContent) else dataset.read
        return hashlib.sha256(content(item)).hexdigest()
    except (ImageError, OSError):
        return UNREADABLE


@dataclass(frozen=True, slots=True)
class _Files:
    """Files that are no data set, for their digests to be kept as those of images are."""

    paths: Sequence[Path]

    def source(self, item: Item) -> Path:
        return self.paths[int(item.key)]

    def digest(self, item: Item) -> str:
        # not read whole: a model's file may be larger than memory
        with self.source(item).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What must not have changed for a cached digest to hold."""

    path: str
    part: str
    size: int
    mtime_ns: int


def _stamps(dataset: Dataset | _Files, items: Sequence[Item]) -> list[_Stamp | None]:
    """A stamp an item; None where the data set names no file, or the file cannot be looked at."""
    if not isinstance(dataset, HasSource):
        return [None] * len(items)
    seen: dict[Path, os.stat_result | None] = {}
    stamps = []
    for item in items:
        path = dataset.source(item)
        if path not in seen:
            seen[path] = _stat(path)
        stamps.append(_stamp(path, item, seen[path]))
    return stamps


def _stamp(path: Path, item: Item, stat: os.stat_result | None) -> _Stamp | None:
    if stat is None:
        return None
    return _Stamp(str(path.absolute()), repr(item.locator), stat.st_size, stat.st_mtime_ns)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


_TABLE = (
    "CREATE TABLE IF NOT EXISTS digests (path TEXT, part TEXT, size INTEGER, mtime_ns INTEGER,"
    " digest TEXT, PRIMARY KEY (path, part)) WITHOUT ROWID"
)


class _DigestCache:
    """A table of digests on disk; from its first error on, an empty one in memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        with self._or_in_memory():
            cache_folder().mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(cache_folder() / "digests.sqlite", timeout=10)
            self._connection.execute(_TABLE)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def find(self, stamp: _Stamp) -> str | None:
        """The digest kept for exactly this stamp."""
        row = None
        with self._or_in_memory():
            row = self._connection.execute(
                "SELECT digest FROM digests"
                " WHERE path = ? AND part = ? AND size = ? AND mtime_ns = ?",
                (stamp.path, stamp.part, stamp.size, stamp.mtime_ns),
            ).fetchone()
        return None if row is None else str(row[0])

    def keep(self, entries: Iterable[tuple[_Stamp | None, str]]) -> None:
        """Keep digests of files that have not changed just now.

        The time of a file that has may be too coarse to show its next change.
        """
        settled = time.time_ns() - _SETTLED_NS
        rows = [
            (stamp.path, stamp.part, stamp.size, stamp.mtime_ns, digest)
            for stamp, digest in entries
            if stamp is not None and stamp.mtime_ns < settled and digest != UNREADABLE
        ]
        with self._or_in_memory(), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", rows
            )

    @contextmanager
    def _or_in_memory(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            _log.warning("digests of images are not kept: %s", error)
            self._connection = sqlite3.connect(":memory:")
            self._connection.execute(_TABLE)
