"""Contact sheets: one row of pictures per sample, its error map last, with a scale."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from layton_bench.images import UInt8Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE_PX = 256
ERROR_CEILING = 64
"""Top of the error scale in grey levels. Larger errors get its last colour."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_GAP = 8
_TEXT_PX = 15
_LINE = 22
_ROW_HEIGHT = _LINE + TILE_PX + _GAP
_LONGEST_TEXT = 1000  # measuring a text takes time in proportion to its length
_INK, _PALE, _PAPER = (30, 30, 30), (130, 130, 130), (255, 255, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One sample of a contact sheet.

    Attributes:
        caption: shown above its tiles.
        candidate: the reconstruction or generated image, RGB.
        reference: the original, RGB, of the same size; None without an original.
    """

    caption: str
    candidate: Image.Image
    reference: Image.Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRow:
    """Pictures of one sample, RGB, with a caption.

    Attributes:
        caption: shown above the tiles.
        tiles: one picture per column; a text in its place; or None for an empty tile.
    """

    caption: str
    tiles: tuple[Image.Image | str | None, ...]


def contact_sheet(strips: Sequence[Sequence[SheetRow]], *, title: str) -> Image.Image:
    """Draw strips of rows side by side below a title, RGB. Empty strips are left out.

    Pictures are shrunk to tiles. Errors are computed at full size.
    """
    headings = ("original", "reconstruction", "error")
    return tile_sheet([[_tiles(row) for row in rows] for rows in strips], headings, title=title)


def tile_sheet(
    strips: Sequence[Sequence[TileRow]], headings: Sequence[str], *, title: str
) -> Image.Image:
    """Draw strips of rows side by side below a title; each column has a heading."""
    drawn = [_strip(rows, headings) for rows in strips if rows]
    width = max(_left(len(headings)), sum(strip.width for strip in drawn))
    sheet = Image.new("RGB", (width, _LINE + max((s.height for s in drawn), default=0)), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX)
    pen.text((_GAP, 4), _fitted(title, pen, font, width), _INK, font)
    for number, strip in enumerate(drawn):
        sheet.paste(strip, (number * strip.width, _LINE))
    return sheet


def _tiles(row: SheetRow) -> TileRow:
    errors = None if row.reference is None else difference_map(row.reference, row.candidate)
    return TileRow(caption=row.caption, tiles=(row.reference, row.candidate, errors))


def _strip(rows: Sequence[TileRow], headings: Sequence[str]) -> Image.Image:
    """Draw the column headings, the error scale, and the rows below."""
    width = _left(len(headings))
    strip = Image.new("RGB", (width, 2 * _LINE + len(rows) * _ROW_HEIGHT), _PAPER)
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(_TEXT_PX)
    for column, heading in enumerate(headings):
        pen.text((_left(column), 4), _fitted(heading, pen, font, TILE_PX), _INK, font)
    _draw_scale(strip, pen, font, left=_left(len(headings) - 1))
    for number, row in enumerate(rows):
        top = 2 * _LINE + number * _ROW_HEIGHT
        pen.text((_GAP, top + 2), _fitted(row.caption, pen, font, width), _INK, font)
        for column, tile in enumerate(row.tiles):
            place = (_left(column), top + _LINE)
            if isinstance(tile, Image.Image):
                strip.paste(_shrunk(tile), place)
            elif tile is not None:
                pen.text(place, _fitted(tile, pen, font, TILE_PX), _PALE, font)
    return strip


def difference_map(first: Image.Image, second: Image.Image) -> Image.Image:
    """Return the error map of two pictures of equal size in colours, RGB."""
    return Image.fromarray(colourise(error_map(np.asarray(first), np.asarray(second))))


def error_map(reference: UInt8Array, candidate: UInt8Array) -> NDArray[np.float64]:
    """Return the mean absolute difference over channels in grey levels: float64 (H, W), 0..255."""
    difference = reference.astype(np.float64) - candidate.astype(np.float64)
    mean: NDArray[np.float64] = np.abs(difference).mean(axis=2)
    return mean


def colourise(errors: NDArray[np.float64]) -> UInt8Array:
    """Return errors as RGB (H, W, 3): dark for 0, bright for ``ERROR_CEILING`` and more."""
    from matplotlib import colormaps

    rgba = colormaps["magma"](np.clip(errors / ERROR_CEILING, 0, 1))
    return np.round(rgba[..., :3] * 255).astype(np.uint8)


def _left(column: int) -> int:
    return _GAP + column * (TILE_PX + _GAP)


def _shrunk(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((TILE_PX, TILE_PX), Image.Resampling.BOX)
    return small


def _draw_scale(sheet: Image.Image, pen: ImageDraw.ImageDraw, font: Font, *, left: int) -> None:
    """Draw the error scale from 0 to the ceiling above the last column."""
    ramp = np.linspace(0, ERROR_CEILING, TILE_PX - 90)[None].repeat(_LINE - 8, axis=0)
    top = 4 + _LINE
    pen.text((left, top - 2), "0", _INK, font)
    sheet.paste(Image.fromarray(colourise(ramp)), (left + 14, top))
    pen.text((left + TILE_PX - 70, top - 2), f"{ERROR_CEILING}+ of 255", _INK, font)


def _fitted(text: str, pen: ImageDraw.ImageDraw, font: Font, width: int) -> str:
    """Return the text on one line, cut with an ellipsis if it is too wide."""
    line = " ".join(text[:_LONGEST_TEXT].split())
    room = width - 2 * _GAP
    if pen.textlength(line, font) <= room and len(text) <= _LONGEST_TEXT:
        return line

    def needed(letters: int) -> int:
        return math.ceil(pen.textlength(line[:letters] + "…", font))

    cut = bisect_right(range(len(line)), room, key=needed)
    return line[: max(0, cut - 1)] + "…"
