"""Digests of files, kept in the user's cache folder, so that the next run does not read them.

A digest holds as long as the file's size, its inode and its times of change are the same. A file
that is replaced by one of equal size and modification time has another inode or another ctime.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from layton_bench.machine import cache_folder

_SETTLED_NS = 2_000_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What must be unchanged for a kept digest to hold.

    Attributes:
        path: of the file, in the file system's own bytes. A name may be in any encoding.
        part: where the item is in the file.
        state: size, modification time, ctime and inode of the file.
        changed_ns: the latest of its times.
    """

    path: bytes
    part: str
    state: str
    changed_ns: int

    @classmethod
    def of(cls, path: Path, part: str, stat: os.stat_result) -> Stamp:
        """Return the stamp of a part of a file."""
        state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
        changed_ns = max(stat.st_mtime_ns, stat.st_ctime_ns)
        return cls(os.fsencode(path.absolute()), part, state, changed_ns)


# the name is new with its columns: an older version keeps its own table, "digests"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS contents (path BLOB, part TEXT, state TEXT, digest TEXT,"
    " PRIMARY KEY (path, part)) WITHOUT ROWID"
)


class DigestCache:
    """A table of digests on disk. After its first error, it is an empty table in memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        with self._or_in_memory():
            cache_folder().mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(cache_folder() / "digests.sqlite", timeout=10)
            self._connection.execute(_TABLE)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def find(self, stamp: Stamp) -> str | None:
        """Return the digest kept for exactly this stamp."""
        row = None
        with self._or_in_memory():
            row = self._connection.execute(
                "SELECT digest FROM contents WHERE path = ? AND part = ? AND state = ?",
                (stamp.path, stamp.part, stamp.state),
            ).fetchone()
        return None if row is None else str(row[0])

    def keep(self, entries: Iterable[tuple[Stamp, str]]) -> None:
        """Keep digests, but not those of files that changed a moment ago.

        Their times may be too coarse to show the next change.
        """
        settled = time.time_ns() - _SETTLED_NS
        rows = [
            (stamp.path, stamp.part, stamp.state, digest)
            for stamp, digest in entries
            if stamp.changed_ns < settled
        ]
        with self._or_in_memory(), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", rows
            )

    @contextmanager
    def _or_in_memory(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            _log.warning("digests of images cannot be kept: %s", error)
            self._connection = sqlite3.connect(":memory:")
            self._connection.execute(_TABLE)
