"""The picture of the samples that moved most, read back pixel by pixel."""

from pathlib import Path

import numpy as np
import pytest
from lab import Lab
from PIL import Image
from sheet_cases import FIRST_ROW, GAP, LINE, SIDE, flat, run_of

from layton_bench.compare.differences import compare
from layton_bench.compare.sheet import write_moved_sheet
from layton_bench.errors import UserError
from layton_bench.records.record import SavedImage
from layton_bench.records.results import StoredRun, stored_runs
from layton_bench.records.tiles import TILE_PX, colourise


def tile(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top, left = FIRST_ROW + row * (LINE + TILE_PX + GAP), GAP + column * (TILE_PX + GAP)
    return sheet[top : top + SIDE, left : left + SIDE]


def test_a_row_is_the_original_both_runs_and_their_difference(
    tmp_path: Path, runs: tuple[StoredRun, StoredRun]
) -> None:
    comparison = compare(*runs, num_moved=2)
    assert comparison.moved["key"].tolist() == ["b", "a"]
    missing = write_moved_sheet(comparison, *runs, tmp_path / "moved.png")
    assert missing == 1  # B kept nothing of a
    sheet = np.asarray(Image.open(tmp_path / "moved.png").convert("RGB"))
    assert [int(np.unique(tile(sheet, 0, c)).item()) for c in range(3)] == [100, 20, 26]
    # a picture is shown where either run has it, the difference where both have
    assert (tile(sheet, 0, 3) == colourise(np.array([[6.0]]))[0, 0]).all()
    assert [int(np.unique(tile(sheet, 1, c)).item()) for c in range(2)] == [100, 10]
    assert len(np.unique(tile(sheet, 1, 2))) > 1  # words
    assert (tile(sheet, 1, 3) == 255).all()


@pytest.mark.parametrize("name", ["moved.xyz", "nowhere/moved.png"])
def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, runs: tuple[StoredRun, StoredRun], name: str
) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_moved_sheet(compare(*runs), *runs, tmp_path / name)


def test_a_name_in_a_record_reaches_no_other_file(tmp_path: Path) -> None:
    flat(77, SIDE).save(tmp_path / "secret.png")
    values = {"a": 30.0, "b": 31.0}
    first = run_of(tmp_path / "r", 1, {"a": 10}, values)
    second = run_of(tmp_path / "r", 2, {}, {"a": 20.0, "b": 31.0})
    saved = SavedImage(key="a", rank="", reference=None, candidate="../../../../../secret.png")
    evil = StoredRun(
        folder=first.folder, record=first.record.model_copy(update={"images": (saved,)})
    )
    missing = write_moved_sheet(
        compare(first, second, num_moved=1), evil, second, tmp_path / "moved.png"
    )
    assert missing == 2


def test_runs_that_keep_their_images_have_every_picture(lab: Lab) -> None:
    lab.add(9, start=5)
    lab.run("lab-gain", more="--set gain=0.95 --keep-images")
    lab.run("lab-gain", more="--set gain=0.9 --keep-images")
    first, second = stored_runs(lab.bench.results)
    assert [len(run.record.images) for run in (first, second)] == [14, 14]
    assert sum(image.rank == "" for image in first.record.images) == 6
    outcome = lab.bench(
        "compare", first.folder, second.folder, "--picture", "moved.png", "--format", "md"
    )
    assert outcome.code == 1
    assert "(moved.png)" in outcome.out
    assert "not kept" not in outcome.err
    with Image.open("moved.png") as sheet:
        assert sheet.height == 3 * LINE + 10 * (LINE + TILE_PX + GAP)
    few = lab.run("lab-half")
    assert "pictures of every sample" not in few.err
    again = lab.run("lab-half", more="--keep-images")
    assert "lacks the pictures of every sample. Add them with --overwrite only-missing" in again.err
    lab.run("lab-half", more="--keep-images --overwrite only-missing")
    kept = [len(r.record.images) for r in stored_runs(lab.bench.results)]
    assert kept == [14, 14, 14]
    assert not list(lab.bench.results.glob(".tmp*"))
