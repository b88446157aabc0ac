"""Flat tiles, and where a contact sheet puts its first row."""

from __future__ import annotations

from PIL import Image

from layton_bench.records.tiles import TILE_PX

GAP, LINE = 8, 22
FIRST_ROW = LINE + 2 * LINE + LINE  # under title, headings, scale and caption


def flat(level: int | tuple[int, int, int], side: int = TILE_PX) -> Image.Image:
    return Image.new("RGB", (side, side), level if isinstance(level, tuple) else (level,) * 3)
