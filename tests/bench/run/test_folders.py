"""Two folders of pictures through the same pass."""

import json
from pathlib import Path

import numpy as np
import pytest
from lab import Bench, Outcome, file_bytes, picture
from PIL import Image

from layton_bench.datasets.protocols import canonical
from layton_bench.records.results import stored_runs


def darker(image: Image.Image, levels: int) -> Image.Image:
    pixels = np.asarray(image).astype(int) - levels
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three pairs of different sizes; what is restored is darker by 3 levels."""
    originals, restored = tmp_path / "originals", tmp_path / "restored"
    for folder in (originals, restored):
        (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "sub/c")):
        image = picture(number, (60 + 20 * number, 48))
        (originals / f"{name}.png").write_bytes(file_bytes(image))
        (restored / f"{name}.png").write_bytes(file_bytes(darker(image, 3)))
    return originals, restored


def score(bench: Bench, folders: tuple[Path, Path], *more: str) -> Outcome:
    words = ["score", "--reference", folders[0], "--images", folders[1], "--device", "cpu"]
    return bench(*words, "--out", bench.results, *more)


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = (np.asarray(a).astype(float) - np.asarray(b).astype(float)) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def test_pairs_are_compared_at_their_own_sizes(bench: Bench, folders: tuple[Path, Path]) -> None:
    outcome = score(bench, folders, "--metric", "psnr", "--metric", "brightness-bias")
    assert outcome.code == 0
    (record,) = outcome.records
    images = [picture(n, (60 + 20 * n, 48)) for n in range(3)]
    expected = np.mean([psnr(image, darker(image, 3)) for image in images])
    assert record.metrics["psnr"].value == pytest.approx(expected, rel=1e-12)
    # a few pixels were too dark already to be darkened by three levels
    assert -3 <= record.metrics["brightness-bias"].value < -2.9
    assert (record.status, record.completeness.effective) == ("complete", 3)
    assert record.model.name == f"folder-{folders[1].parent.name}_restored"
    assert record.suite.protocol == "native@1"
    assert record.bits_per_image is None


def test_the_suite_of_two_folders_has_the_usual_metrics(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    (record,) = score(bench, folders).records
    assert {"psnr", "ssim", "delta-e"} <= set(record.metrics)
    assert record.metrics["psnr"].signature.startswith("psnr|ref:originals|crop:native@1|range")


def test_a_suites_protocol_is_applied_to_the_references(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    originals, restored = folders
    for path in restored.rglob("*.png"):
        original = Image.open(originals / path.relative_to(restored)).convert("RGB")
        Image.fromarray(canonical(original, 256)).save(path)
    outcome = score(bench, folders, "--suite", "photos-256", "--metric", "psnr")
    (record,) = outcome.records
    assert record.metrics["psnr"].value == float("inf")
    assert record.suite.size_px == 256


def test_files_that_do_not_pair_are_each_listed(bench: Bench, folders: tuple[Path, Path]) -> None:
    originals, restored = folders
    (restored / "b.png").unlink()
    (restored / "extra.png").write_bytes(file_bytes(picture(9, (40, 40))))
    (originals / "a.jpg").write_bytes(file_bytes(picture(8, (60, 48)), "JPEG"))
    outcome = score(bench, folders, "--metric", "psnr")
    (record,) = outcome.records
    assert {(f.key, f.reason) for f in record.completeness.failed} == {
        ("b.png", "there is no picture of that name"),
        ("extra.png", "there is no reference of that name"),
        ("originals/a.jpg", "another file has the same name"),
        ("originals/a.png", "another file has the same name"),
        ("a.png", "there is no reference of that name"),
    }  # fmt: skip
    assert record.metrics["psnr"].n == 1
    assert record.status == "partial"
    assert "⚠ partial: 1 of" in outcome.out
    assert "Failed (read): extra.png: there is no reference of that name" in outcome.err


def test_a_picture_of_another_size_is_named_with_both(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    (folders[1] / "a.png").write_bytes(file_bytes(picture(0, (50, 48))))
    (record,) = score(bench, folders, "--metric", "psnr").records
    (failure,) = record.completeness.failed
    assert (failure.key, failure.reason) == (
        "a", "the picture is 50 × 48, its reference 60 × 48",
    )  # fmt: skip
    assert record.completeness.effective == 2


def test_a_damaged_picture_is_named(bench: Bench, folders: tuple[Path, Path]) -> None:
    (folders[1] / "a.png").write_bytes(b"")
    (record,) = score(bench, folders, "--metric", "psnr").records
    (failure,) = record.completeness.failed
    assert failure.key == "a"
    assert "the file is empty (0 bytes)" in failure.reason


def test_other_pictures_are_another_run_and_the_same_are_not(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    score(bench, folders, "--metric", "psnr")
    again = score(bench, folders, "--metric", "psnr")
    assert "this run exists already" in again.err
    assert len(again.records) == 1
    (folders[1] / "a.png").write_bytes(file_bytes(darker(picture(0, (60, 48)), 9)))
    assert len(score(bench, folders, "--metric", "psnr").records) == 2


def test_limit_marks_the_run_as_partial(bench: Bench, folders: tuple[Path, Path]) -> None:
    (record,) = score(bench, folders, "--metric", "psnr", "--limit", "2").records
    assert (record.status, record.completeness.limit) == ("partial", 2)


def test_scores_as_json(bench: Bench, folders: tuple[Path, Path]) -> None:
    outcome = score(bench, folders, "--metric", "psnr", "--json")
    assert [raw["run_id"] for raw in json.loads(outcome.out)] == [outcome.records[0].run_id]


def test_folders_that_share_no_name(bench: Bench, folders: tuple[Path, Path]) -> None:
    for number, path in enumerate(sorted(folders[1].rglob("*.png"))):
        path.rename(path.with_name(f"other{number}.png"))
    outcome = score(bench, folders)
    assert (outcome.code, outcome.records) == (2, [])
    assert str(folders[1]) in outcome.err


@pytest.mark.parametrize("missing", [0, 1])
def test_a_folder_that_is_not_there(
    bench: Bench, folders: tuple[Path, Path], missing: int, tmp_path: Path
) -> None:
    changed = list(folders)
    changed[missing] = tmp_path / "nowhere"
    outcome = score(bench, (changed[0], changed[1]))
    assert outcome.code == 2
    assert f"{tmp_path / 'nowhere'}: there is no such directory" in outcome.err


def test_show_writes_a_contact_sheet_of_originals_results_and_errors(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    score(bench, folders, "--metric", "psnr")
    outcome = bench("show", f"folder-{folders[1].parent.name}_restored", "--out", bench.results)
    assert outcome.code == 0
    (stored,) = stored_runs(bench.results)
    sheet = stored.folder / "contact-sheet.png"
    assert f"Contact sheet: {sheet}" in outcome.err
    colours = {colour for _, colour in Image.open(sheet).convert("RGB").getcolors(1 << 24)}
    shown = picture(0, (60, 48)).getpixel((30, 24))
    assert shown in colours
    assert tuple(max(0, level - 3) for level in shown) in colours


def test_a_sheet_that_cannot_be_written_says_so(
    bench: Bench, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    score(bench, folders, "--metric", "psnr")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    outcome = bench("show", f"folder-{folders[1].parent.name}_restored", "--out", bench.results)
    assert outcome.code == 2
    assert "contact-sheet.png: cannot be written (No space left on device)" in outcome.err


def test_a_sheet_whose_pictures_are_gone_says_so(bench: Bench, folders: tuple[Path, Path]) -> None:
    score(bench, folders, "--metric", "psnr")
    (stored,) = stored_runs(bench.results)
    gone = stored.folder / "images" / stored.record.images[0].candidate
    gone.unlink()
    outcome = bench("show", f"folder-{folders[1].parent.name}_restored", "--out", bench.results)
    assert outcome.code == 2
    assert f"picture {gone}: it is missing or cannot be read" in outcome.err
