"""The picture files below a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from layton.images.reading import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Found", "find_images", "is_hidden", "is_image_name"]


@dataclass(frozen=True, slots=True)
class Found:
    """What is below a folder.

    Attributes:
        paths: of files that look like pictures, below the folder, with forward slashes.
        left_out: folder below it that cannot be read → reason.
    """

    paths: tuple[str, ...]
    left_out: dict[str, str]


def find_images(root: Path) -> Found:
    """Find the files below ``root`` whose name ends as a picture's does; hidden ones are skipped.

    Folders behind symbolic links are entered, each once.
    """
    seen: set[str] = set()
    paths: list[str] = []
    left_out: dict[str, str] = {}

    def leave_out(error: OSError) -> None:
        below = os.path.relpath(error.filename, root)
        left_out[PurePath(below).as_posix()] = error.strerror or type(error).__name__

    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=leave_out):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        below = PurePath(os.path.relpath(folder, root))
        paths += ((below / file).as_posix() for file in files if is_image_name(file))
    return Found(tuple(paths), left_out)


def is_hidden(name: str) -> bool:
    """Whether a system hides the file, or wrote it (``._a.jpg``, ``__MACOSX``, ``Thumbs.db``)."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as a picture."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name)
