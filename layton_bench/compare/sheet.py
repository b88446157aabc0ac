"""A picture of the samples that changed most between two runs: original | A | B | A − B."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.compare.differences import Comparison
from layton_bench.errors import output_error
from layton_bench.records import (
    SavedImage,
    StoredRun,
    TileRow,
    difference_map,
    display_name,
    read_picture,
    tile_sheet,
)

if TYPE_CHECKING:
    from PIL import Image

NOT_KEPT = "not kept"


def write_moved_sheet(
    comparison: Comparison, baseline: StoredRun, now: StoredRun, path: Path
) -> int:
    """Write a picture of the samples that changed most. The suffix decides the format.

    Args:
        comparison: the comparison of both runs.
        baseline: run A.
        now: run B.
        path: the file. An existing file is replaced.

    Returns:
        The number of pictures that the runs did not keep. A text takes their place.

    Raises:
        UserError: the file cannot be written, or no image format has its suffix.
    """
    kept = [{saved.key: saved for saved in run.record.images} for run in (baseline, now)]
    rows, num_missing = [], 0
    for key, *values in comparison.moved.itertuples(index=False, name=None):
        saved = [found.get(key) for found in kept]
        pictures = [_candidate(run, one) for run, one in zip((baseline, now), saved, strict=True)]
        num_missing += pictures.count(None)
        reference = _reference((baseline, now), saved)
        rows.append(_row(_caption(comparison, str(key), *values), reference, *pictures))
    names = [display_name(run.record) for run in (baseline, now)]
    headings = ("original", f"A: {names[0]}", f"B: {names[1]}", "difference of A and B")
    title = f"The samples that changed most, {comparison.baseline.suite.name}"
    try:
        tile_sheet([rows], headings, title=title).save(path)
    except (OSError, ValueError) as error:  # Pillow raises it for an unknown suffix
        cause = error if isinstance(error, OSError) else OSError(0, str(error))
        raise output_error(path, cause) from error
    return num_missing


def _candidate(run: StoredRun, saved: SavedImage | None) -> Image.Image | None:
    return None if saved is None else read_picture(run, saved.candidate)


def _reference(
    runs: tuple[StoredRun, StoredRun], saved: list[SavedImage | None]
) -> Image.Image | None:
    """Return the original from the run that kept it."""
    found = (
        read_picture(run, one.reference)
        for run, one in zip(runs, saved, strict=True)
        if one is not None
    )
    return next((picture for picture in found if picture is not None), None)


def _row(
    caption: str,
    reference: Image.Image | None,
    first: Image.Image | None,
    second: Image.Image | None,
) -> TileRow:
    tiles: list[Image.Image | str | None] = [
        NOT_KEPT if picture is None else picture for picture in (reference, first, second)
    ]
    if first is None or second is None or first.size != second.size:
        tiles.append(None)
    else:
        tiles.append(difference_map(first, second))
    return TileRow(caption=caption, tiles=tuple(tiles))


def _caption(comparison: Comparison, key: str, before: float, after: float, change: float) -> str:
    metric = next(d for d in comparison.differences if d.name == comparison.moved_metric)
    digits = metric.digits
    values = f"A {before:.{digits}f}, B {after:.{digits}f} ({change:+.{digits}f})"
    return f"{key}   {metric.label}: {values}"
