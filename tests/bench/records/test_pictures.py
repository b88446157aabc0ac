from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import record, result
from PIL import Image
from sheet_cases import FIRST_ROW, GAP, LINE, flat

from layton_bench.errors import UserError
from layton_bench.records.folder import IMAGES, write_record
from layton_bench.records.pictures import write_contact_sheet
from layton_bench.records.record import SavedImage
from layton_bench.records.results import StoredRun
from layton_bench.records.tiles import TILE_PX


def tile(sheet: Image.Image, *, strip: int = 0, row: int = 0, column: int = 0) -> np.ndarray:
    """The pixels of a tile, uint8 (256, 256, 3)."""
    left = strip * (3 * TILE_PX + 4 * GAP) + GAP + column * (TILE_PX + GAP)
    top = FIRST_ROW + row * (LINE + TILE_PX + GAP)
    return np.asarray(sheet)[top : top + TILE_PX, left : left + TILE_PX]


def stored(folder: Path) -> StoredRun:
    """A run with one worst and one best sample in its folder."""
    (folder / IMAGES).mkdir(parents=True)
    images = []
    for rank, level in (("worst-1", 10), ("best-1", 200)):
        saved = SavedImage(
            key=rank[:-2], rank=rank, reference=f"{rank}-r.png", candidate=f"{rank}-c.png"
        )
        flat(level, 32).save(folder / IMAGES / saved.reference)
        flat(level + 5, 32).save(folder / IMAGES / saved.candidate)
        images.append(saved)
    samples = pd.DataFrame({"key": ["worst", "best"], "psnr": [18.191, 30.0]})
    made = record(images=tuple(images), metrics={"psnr": result(24.1)})
    return StoredRun(folder=folder, record=write_record(folder, made, samples))


def test_the_sheet_of_a_run_has_its_worst_on_the_left_and_best_on_the_right(tmp_path):
    path = write_contact_sheet(stored(tmp_path))
    assert path == tmp_path / "contact-sheet.png"
    sheet = Image.open(path).convert("RGB")
    for strip, level in ((0, 10), (1, 200)):
        assert (tile(sheet, strip=strip, column=0)[:32, :32] == level).all()
        assert (tile(sheet, strip=strip, column=1)[:32, :32] == level + 5).all()


def test_captions_give_rank_key_and_values(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "layton_bench.records.pictures.contact_sheet",
        lambda strips, title: seen.append((strips, title)) or flat(0, 8),
    )
    write_contact_sheet(stored(tmp_path))
    [(strips, title)] = seen
    assert [[row.caption for row in strip] for strip in strips] == [
        ["worst 1: worst   PSNR 18.19"],
        ["best 1: best   PSNR 30.00"],
    ]
    assert title == "fake on tiny-16"


def test_a_missing_picture_is_named(tmp_path):
    run = stored(tmp_path)
    (tmp_path / IMAGES / "best-1-c.png").unlink()
    with pytest.raises(UserError, match=r"best-1-c\.png.*cannot be read"):
        write_contact_sheet(run)
