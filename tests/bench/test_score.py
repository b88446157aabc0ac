"""Two folders of pictures: paired by name, the same metrics, every misfit listed."""

from pathlib import Path

import numpy as np
import pytest
from lab import Bench, file_bytes, picture
from PIL import Image

from layton_bench.preprocess import canonical
from layton_bench.results import stored_runs


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Originals a, b, sub/c of two sizes, and their darker copies, as PNG and under other types."""
    originals, copies = tmp_path / "originals", tmp_path / "copies"
    for name, size in (("a", (96, 80)), ("b", (64, 64)), ("sub/c", (96, 80))):
        image = picture(len(name), size)
        darker = Image.fromarray((np.asarray(image) // 2).astype(np.uint8))
        for folder, held, form in ((originals, image, "png"), (copies, darker, "bmp")):
            path = folder / f"{name}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_bytes(held, form.upper()))
    return originals, copies


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((first.astype(float) - second) ** 2).mean()))


def score(bench: Bench, folders: tuple[Path, Path], *more: str):
    words = ("--reference", folders[0], "--images", folders[1], "--out", bench.results)
    return bench("score", *words, "--device", "cpu", "--metric", "psnr", *more)


def by_hand(folders: tuple[Path, Path], name: str) -> float:
    first = np.asarray(Image.open(folders[0] / f"{name}.png"))
    return psnr(first, np.asarray(Image.open(folders[1] / f"{name}.bmp")))


def test_pairs_are_scored_at_their_own_size(bench: Bench, folders: tuple[Path, Path]) -> None:
    outcome = score(bench, folders)
    assert outcome.code == 0
    (record,) = outcome.records
    assert (record.suite.name, record.model.name) == ("folder", "folder-copies")
    assert (record.status, record.completeness.effective) == ("complete", 3)
    expected = np.mean([by_hand(folders, name) for name in ("a", "b", "sub/c")])
    assert record.metrics["psnr"].value == pytest.approx(expected, rel=1e-12)
    assert record.metrics["psnr"].signature.startswith("psnr|ref:originals|crop:native@1|")


def test_what_does_not_pair_is_listed_and_the_run_marked(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    (folders[1] / "b.bmp").unlink()
    (folders[1] / "stray.png").write_bytes(file_bytes(picture(1, (64, 64))))
    (folders[1] / "a.png").write_bytes(file_bytes(picture(1, (64, 64))))
    outcome = score(bench, folders)
    assert outcome.code == 0
    (record,) = outcome.records
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert failed["b.png"] == "there is no picture of that name"
    assert failed["stray.png"] == "there is no reference of that name"
    assert {key for key, why in failed.items() if why == "another file has the same name"} == {
        "copies/a.bmp",
        "copies/a.png",
    }
    assert (record.status, record.completeness.effective) == ("partial", 1)
    assert "partial" in outcome.out


def test_another_size_or_a_broken_picture_costs_its_pair(
    bench: Bench, folders: tuple[Path, Path]
) -> None:
    (folders[1] / "a.bmp").write_bytes(file_bytes(picture(1, (50, 40)), "BMP"))
    (folders[1] / "b.bmp").write_bytes(b"no picture")
    (record,) = score(bench, folders).records
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert failed["a"] == "the picture is 50 × 40, its reference 96 × 80"
    assert "not an image" in failed["b"]
    assert record.completeness.effective == 1
    strict = score(bench, folders, "--strict", "--overwrite", "always")
    assert strict.code == 2


def test_a_suites_protocol_is_for_the_references(bench: Bench, folders: tuple[Path, Path]) -> None:
    for path in folders[1].rglob("*.bmp"):
        path.unlink()
    original = Image.open(folders[0] / "a.png").convert("RGB")
    cropped = canonical(original, 256) // 2
    (folders[1] / "a.png").write_bytes(file_bytes(Image.fromarray(cropped)))
    outcome = score(bench, folders, "--suite", "photos-256")
    (record,) = outcome.records
    assert record.suite.name == "photos-256"
    expected = psnr(canonical(original, 256), cropped)
    assert record.metrics["psnr"].value == pytest.approx(expected, rel=1e-12)
    assert record.completeness.upscaled == 1


def test_folders_that_are_missing_or_do_not_pair(bench: Bench, tmp_path: Path) -> None:
    missing = score(bench, (tmp_path / "none", tmp_path / "none"))
    assert (missing.code, "there is no such directory" in missing.err) == (2, True)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(file_bytes(picture(1, (64, 64))))
    apart = score(bench, (tmp_path / "x", tmp_path / "y"))
    assert (apart.code, "no file of one has its counterpart" in apart.err) == (2, True)


def test_the_same_folders_are_not_scored_twice(bench: Bench, folders: tuple[Path, Path]) -> None:
    score(bench, folders)
    again = score(bench, folders)
    assert "this run exists already" in again.err
    assert len(stored_runs(bench.results)) == 1
    (folders[1] / "b.bmp").write_bytes(file_bytes(picture(7, (64, 64)), "BMP"))
    assert len(score(bench, folders).records) == 2
