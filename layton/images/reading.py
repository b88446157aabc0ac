"""The bytes of picture files: regular files of bounded size only."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layton.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "MAX_FILE_BYTES", "read_file"]

IMAGE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff",
     ".webp")
)  # fmt: skip
"""Endings, in lower case, of the files in a folder that count as pictures."""

MAX_FILE_BYTES = 1 << 30
"""Larger files are refused. The largest picture that is decoded has less than that as raw RGBA."""


def read_file(path: Path) -> bytes:
    """Return the bytes of a picture file.

    Raises:
        ImageError: there is no such file, it cannot be read, it is too large, or it is a folder, a
            pipe or a device. Reading a pipe may take forever, and reading a device may never end.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(str(path), f"not a regular file but {_kind(status.st_mode)}", _REMEDY)
        if status.st_size > MAX_FILE_BYTES:
            reason = f"too large: {status.st_size:,} bytes are more than {MAX_FILE_BYTES:,}"
            raise ImageError(str(path), reason, _REMEDY)
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(str(path), "no such file", "Check the path.") from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ImageError(str(path), reason, "Check the file.") from None


_REMEDY = "Leave it out."


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device", stat.S_ISBLK: "a device",
    }  # fmt: skip
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "of another kind")
