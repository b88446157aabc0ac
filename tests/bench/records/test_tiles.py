"""The contact sheet, read back pixel by pixel, and the one of a stored run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sheet_cases import FIRST_ROW, GAP, LINE, flat

from layton_bench.records import tiles as sheets
from layton_bench.records.tiles import ERROR_CEILING, TILE_PX, SheetRow, contact_sheet

WHITE = (255, 255, 255)


def tile(sheet: Image.Image, *, strip: int = 0, row: int = 0, column: int = 0) -> np.ndarray:
    """The pixels of a tile, uint8 (256, 256, 3)."""
    left = strip * (3 * TILE_PX + 4 * GAP) + GAP + column * (TILE_PX + GAP)
    top = FIRST_ROW + row * (LINE + TILE_PX + GAP)
    return np.asarray(sheet)[top : top + TILE_PX, left : left + TILE_PX]


def test_tiles_are_original_reconstruction_and_coloured_error():
    row = SheetRow(caption="one", reference=flat((10, 20, 30)), candidate=flat((40, 20, 60)))
    sheet = contact_sheet([[row]], title="a run")
    assert (tile(sheet, column=0) == (10, 20, 30)).all()
    assert (tile(sheet, column=1) == (40, 20, 60)).all()
    # |30| + 0 + |30| over three channels: 20 grey levels of a scale that ends at 64
    expected = sheets.colourise(np.array([[20.0]]))[0, 0]
    assert (tile(sheet, column=2) == expected).all()


def test_rows_below_and_strips_beside_each_other():
    strips = [
        [SheetRow(caption=f"{s}{r}", candidate=flat(40 * s + 10 * r + 5)) for r in range(2)]
        for s in range(2)
    ]
    sheet = contact_sheet([strips[0], [], strips[1]], title="")
    assert sheet.size == (2 * (3 * TILE_PX + 4 * GAP), 3 * LINE + 2 * (LINE + TILE_PX + GAP))
    for strip in range(2):
        for row in range(2):
            level = 40 * strip + 10 * row + 5
            assert (tile(sheet, strip=strip, row=row, column=1) == level).all()


def test_without_an_original_only_the_drawn_picture_is_shown():
    sheet = contact_sheet([[SheetRow(caption="drawn", candidate=flat(90))]], title="")
    assert (tile(sheet, column=0) == WHITE).all()
    assert (tile(sheet, column=1) == 90).all()
    assert (tile(sheet, column=2) == WHITE).all()


def test_nothing_to_show_is_a_title():
    sheet = contact_sheet([[], []], title="empty")
    assert sheet.size == (3 * TILE_PX + 4 * GAP, LINE)
    assert np.asarray(sheet).min() < 100


def test_errors_are_computed_before_pictures_are_shrunk():
    # a checkerboard that any shrinking would turn grey: the mean error stays 30, not 0
    board = np.indices((512, 512)).sum(axis=0) % 2 * 60
    reference = Image.fromarray(np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    sheet = contact_sheet(
        [[SheetRow(caption="", reference=reference, candidate=flat(30, 512))]], title=""
    )
    assert (tile(sheet, column=0) == 30).all()
    assert (tile(sheet, column=2) == sheets.colourise(np.array([[30.0]]))[0, 0]).all()


def test_error_map_is_the_mean_absolute_difference():
    reference = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    candidate = np.array([[[3, 6, 9], [0, 255, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(sheets.error_map(reference, candidate), [[6.0, 85.0]])


def test_colours_rise_in_brightness_up_to_the_ceiling():
    errors = np.linspace(0, ERROR_CEILING, 17)[None]
    brightness = sheets.colourise(errors)[0].astype(int).sum(axis=1)
    assert (np.diff(brightness) > 0).all()
    top = sheets.colourise(np.array([[float(ERROR_CEILING), 200.0]]))[0]
    assert (top[0] == top[1]).all()


def test_the_scale_runs_from_no_error_to_the_ceiling():
    sheet = np.asarray(contact_sheet([[SheetRow(caption="", candidate=flat(9))]], title=""))
    left, top = GAP + 2 * (TILE_PX + GAP) + 14, LINE + 4 + LINE + 7
    ramp = sheet[top, left : left + TILE_PX - 90]
    ends = sheets.colourise(np.array([[0.0, ERROR_CEILING]]))[0]
    np.testing.assert_array_equal(ramp[[0, -1]], ends)


@pytest.mark.parametrize("caption", ["x" * 4000, "a\nb\r\nc", "", "Ångström 猫 \x00"])
def test_captions_of_any_kind_stay_in_their_strip(caption):
    rows = [SheetRow(caption=caption, candidate=flat(50))]
    sheet = np.asarray(contact_sheet([rows, rows], title=caption))
    width = 3 * TILE_PX + 4 * GAP
    caption_line = sheet[3 * LINE : 4 * LINE]
    assert (caption_line[:, width - GAP : width] == 255).all()


@pytest.mark.parametrize("length", [10, 60, 120, 999, 5000])
def test_a_text_is_cut_where_the_next_letter_would_not_fit(length):
    pen = ImageDraw.Draw(flat(0))
    font = ImageFont.load_default(15)
    text = ("the quick brown fox " * 250)[:length].strip()
    fitted = sheets._fitted(text, pen, font, 400)
    room = 400 - 2 * GAP
    assert pen.textlength(fitted, font) <= room
    if fitted != text:
        kept = fitted.removesuffix("…")
        assert text.startswith(kept)
        assert pen.textlength(text[: len(kept) + 1] + "…", font) > room
