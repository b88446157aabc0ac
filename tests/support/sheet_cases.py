"""Flat tiles, and where a contact sheet puts its first row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from fakes import record, result
from PIL import Image

from layton_bench.records.folder import IMAGES
from layton_bench.records.record import SavedImage
from layton_bench.records.results import StoredRun
from layton_bench.records.storing import store
from layton_bench.records.tiles import TILE_PX

GAP, LINE = 8, 22
FIRST_ROW = LINE + 2 * LINE + LINE  # under title, headings, scale and caption


def flat(level: int | tuple[int, int, int], side: int = TILE_PX) -> Image.Image:
    return Image.new("RGB", (side, side), level if isinstance(level, tuple) else (level,) * 3)


SIDE = 32


def run_of(out: Path, number: int, levels: dict[str, int], values: dict[str, float]) -> StoredRun:
    """A run with a picture of each key in ``levels`` and a PSNR of each key in ``values``."""

    def save(folder: Path) -> tuple[SavedImage, ...]:
        (folder / IMAGES).mkdir()
        for key, level in levels.items():
            flat(100, SIDE).save(folder / IMAGES / f"{key}-r.png")
            flat(level, SIDE).save(folder / IMAGES / f"{key}-c.png")
        return tuple(
            SavedImage(key=key, rank="", reference=f"{key}-r.png", candidate=f"{key}-c.png")
            for key in levels
        )

    samples = pd.DataFrame({"key": list(values), "psnr": list(values.values())})
    metrics = {"psnr": result(sum(values.values()) / len(values))}
    made = record(f"model-{number}", number=number, metrics=metrics)
    return store(out, made, samples, save)
