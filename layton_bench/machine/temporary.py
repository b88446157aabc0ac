"""Temporary folders that never stay: those of killed processes are removed by the next process.

A process holds a lock beside its temporary folder. The system releases the lock when the process
ends, however it ends. A folder whose lock is free is stale.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".tmp-"
_LOCK = ".lock"
_OLD_SECONDS = 24 * 3600
"""Temporary files without a lock are left alone for so long."""


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``. It is removed at the end, unless it was moved.

    Stale folders and files in ``parent`` are removed first. Raises OSError.
    """
    from filelock import FileLock

    parent.mkdir(parents=True, exist_ok=True)
    remove_stale(parent)
    folder = parent / f"{PREFIX}{secrets.token_hex(8)}"
    lock = _lock_of(folder)
    try:
        with FileLock(lock):
            try:
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        with suppress(OSError):
            lock.unlink()


def remove_stale(parent: Path) -> None:
    """Remove the temporary folders and files in ``parent`` whose processes have ended."""
    names = {path.name.removesuffix(_LOCK) for path in parent.glob(f"{PREFIX}*")}
    for name in names:
        with suppress(OSError):  # somebody else removes it, or may not be disturbed
            _remove_if_stale(parent / name)


def _remove_if_stale(path: Path) -> None:
    from filelock import FileLock, Timeout

    lock = _lock_of(path)
    if not lock.exists():
        if time.time() - path.lstat().st_mtime > _OLD_SECONDS:
            _remove(path)
        return
    try:
        with FileLock(lock, timeout=0):
            _remove(path)
    except Timeout:
        return
    lock.unlink(missing_ok=True)


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
