"""Files written whole or not at all; only regular files of bounded size are read."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

MAX_BYTES = 2**30
"""Larger files are not read into memory: no image and no text of an evaluation is that large."""

_CACHE_VARIABLE = "LAYTON_BENCH_CACHE"


def cache_folder() -> Path:
    """Return where caches are kept: ``LAYTON_BENCH_CACHE``, or the user's cache directory."""
    given = os.environ.get(_CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("layton-bench")


def open_regular(path: Path, *, max_bytes: int | None = None) -> io.BufferedReader:
    """Open a regular file for reading; a FIFO or a device would block or never end.

    Args:
        path: the file, or a link to it.
        max_bytes: size from which it is refused; None reads a file of any size, piece by piece.

    Raises:
        OSError: it cannot be opened, is no regular file, or is too large; ``strerror`` says which.
    """
    # without O_NONBLOCK, opening a FIFO waits for a writer; Windows has neither
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if max_bytes is not None and found.st_size > max_bytes:
            reason = f"it has {found.st_size:,} bytes; at most {max_bytes:,} are read"
            raise OSError(errno.EFBIG, reason, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the contents of a regular file of bounded size. Raises OSError as above."""
    with open_regular(path, max_bytes=max_bytes) as stream:
        return stream.read(max_bytes)


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
