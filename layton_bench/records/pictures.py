"""The pictures that lie beside a record, read with care: a record's names are not to be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import ImageError
from layton_bench.images import decode_rgb
from layton_bench.records.record import IMAGES
from layton_bench.records.results import StoredRun

if TYPE_CHECKING:
    from PIL import Image


def picture_path(run: StoredRun, name: str | None) -> Path | None:
    """Where a picture of the run's own ``images/`` lies; None where there is no such plain file."""
    if name is None or Path(name).name != name:
        return None
    path = run.folder / IMAGES / name
    return None if path.is_symlink() or not path.is_file() else path


def read_picture(run: StoredRun, name: str | None) -> Image.Image | None:
    """A kept picture, RGB; None where it is not there or cannot be decoded."""
    path = picture_path(run, name)
    if path is None:
        return None
    try:
        return decode_rgb(path.read_bytes())
    except (OSError, ImageError):
        return None
