"""Files: written whole or not at all; where caches are kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

_CACHE_VARIABLE = "LAYTON_BENCH_CACHE"


def cache_folder() -> Path:
    """Return where caches are kept: ``LAYTON_BENCH_CACHE``, or the user's cache directory."""
    given = os.environ.get(_CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("layton-bench")


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file, or replace it, in one step: a reader sees the old file or the new one."""
    with writing_whole(path) as part:
        part.write_bytes(data if isinstance(data, bytes) else data.encode())


@contextmanager
def writing_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; the file written there becomes ``path``.

    Missing parent folders are made. If the block raises, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # of fixed length, because a name that fits may be as long as the file system allows, and
    # without suffix, because readers find their files by it
    part = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file or folder to disk: after a crash, a rename is not followed by empty files."""
    on_windows = os.name == "nt"
    if on_windows and path.is_dir():
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
