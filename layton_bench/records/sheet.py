"""The contact sheet of a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import UserError, output_error
from layton_bench.leaderboard import display_name
from layton_bench.records.pictures import read_picture
from layton_bench.records.record import (
    IMAGES,
    RunRecord,
    SavedImage,
    read_samples,
)
from layton_bench.records.results import StoredRun
from layton_bench.records.tiles import SheetRow, contact_sheet

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

SHEET = "contact-sheet.png"


def write_contact_sheet(run: StoredRun) -> Path:
    """Write ``contact-sheet.png`` into the run's folder and return its path.

    Raises:
        UserError: an image of the run is missing, or the folder cannot be written.
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
        candidate=_open(run, saved.candidate),
        reference=None if saved.reference is None else _open(run, saved.reference),
    )


def _caption(record: RunRecord, saved: SavedImage, samples: pd.DataFrame) -> str:
    """Rank, key, and the sample's first three metrics."""
    values = [
        f"{result.label} {samples[name].map(float)[saved.key]:.{result.digits}f}"
        for name, result in record.metrics.items()
        if name in samples.columns
    ]
    return f"{saved.rank.replace('-', ' ')}: {saved.key}   {', '.join(values[:3])}"


def _open(run: StoredRun, name: str) -> Image.Image:
    picture = read_picture(run, name)
    if picture is None:
        path = run.folder / IMAGES / name
        raise UserError(f"picture {path}", "it is not there or cannot be read", "Run again.")
    return picture
