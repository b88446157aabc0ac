"""The pictures of a stored run: reading them, and the run's contact sheet.

A record's file names are not trusted: a picture is a plain file inside the run's own ``images/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import ImageError, UserError, output_error
from layton_bench.images import decode_rgb, read_file
from layton_bench.records.folder import IMAGES, read_samples
from layton_bench.records.record import RunRecord, SavedImage
from layton_bench.records.results import StoredRun
from layton_bench.records.tiles import SheetRow, contact_sheet
from layton_bench.records.words import display_name

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

SHEET = "contact-sheet.png"
_CAPTION_METRICS = 3


def picture_path(run: StoredRun, name: str | None) -> Path | None:
    """Return the path of a run's picture; None if there is no such plain file."""
    if name is None or Path(name).name != name:
        return None
    path = run.folder / IMAGES / name
    return None if path.is_symlink() or not path.is_file() else path


def read_picture(run: StoredRun, name: str | None) -> Image.Image | None:
    """Read a run's picture as RGB; None if it is missing or cannot be decoded."""
    path = picture_path(run, name)
    if path is None:
        return None
    try:
        return decode_rgb(read_file(path))
    except ImageError:
        return None


def write_contact_sheet(run: StoredRun) -> Path:
    """Write ``contact-sheet.png`` into the run's folder and return its path.

    Raises:
        UserError: a picture of the run is missing, or the folder cannot be written.
    """
    samples = read_samples(run.folder, run.record).set_index("key")
    record = run.record
    strips = [
        [_row(run, saved, samples) for saved in record.images if saved.rank.startswith(end)]
        for end in ("worst", "best")
    ]
    path = run.folder / SHEET
    try:
        contact_sheet(strips, title=f"{display_name(record)} on {record.suite.name}").save(path)
    except OSError as error:
        raise output_error(path, error) from error
    return path


def _row(run: StoredRun, saved: SavedImage, samples: pd.DataFrame) -> SheetRow:
    return SheetRow(
        caption=_caption(run.record, saved, samples),
        candidate=_read(run, saved.candidate),
        reference=None if saved.reference is None else _read(run, saved.reference),
    )


def _caption(record: RunRecord, saved: SavedImage, samples: pd.DataFrame) -> str:
    """Return the sample's rank, key and first metrics."""
    values = [
        f"{result.label} {samples[name].map(float)[saved.key]:.{result.digits}f}"
        for name, result in record.metrics.items()
        if name in samples.columns
    ]
    shown = ", ".join(values[:_CAPTION_METRICS])
    return f"{saved.rank.replace('-', ' ')}: {saved.key}   {shown}"


def _read(run: StoredRun, name: str) -> Image.Image:
    picture = read_picture(run, name)
    if picture is None:
        path = run.folder / IMAGES / name
        raise UserError(f"picture {path}", "it is missing or cannot be read", "Run again.")
    return picture
