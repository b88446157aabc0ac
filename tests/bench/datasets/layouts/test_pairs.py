from pathlib import Path

import pytest

from layton_bench.datasets.layouts.pairs import pair_folders
from layton_bench.errors import MissingDataError, UserError


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())
    return root


def test_pairs_by_path_without_extension(tmp_path):
    references = put(tmp_path / "ref", "a/img10.png", "a/img2.png", "b.jpg")
    candidates = put(tmp_path / "out", "b.webp", "a/img2.PNG", "a/img10.jpg")
    pairs = pair_folders(references, candidates)
    assert [item.key for item in pairs.references.items()] == ["a/img2", "a/img10", "b"]
    assert [item.key for item in pairs.candidates.items()] == ["a/img2", "a/img10", "b"]
    assert [item.locator for item in pairs.candidates.items()] == [
        "a/img2.PNG",
        "a/img10.jpg",
        "b.webp",
    ]
    first = pairs.candidates.items()[0]
    assert pairs.candidates.read(first) == str(candidates / "a/img2.PNG").encode()
    assert pairs.notes == ()


def test_everything_that_does_not_pair_is_listed(tmp_path):
    references = put(tmp_path / "ref", "a.png", "b.png", "x/c.png", "d.png", "d.jpg", "e.png")
    candidates = put(
        tmp_path / "out", "a.jpg", "c.png", "d.png", "e.png", "e.webp", "f.png", "f.jpg"
    )
    pairs = pair_folders(references, candidates)
    assert [item.key for item in pairs.references.items()] == ["a"]
    assert pairs.unpaired_references == ("b.png", "e.png", "x/c.png")
    assert pairs.unpaired_candidates == ("c.png", "d.png")
    assert pairs.ambiguous == (
        "ref/d.jpg",
        "ref/d.png",
        "out/e.png",
        "out/e.webp",
        "out/f.jpg",
        "out/f.png",
    )
    assert pairs.notes[2:4] == (
        "reference without a candidate: x/c.png",
        "candidate without a reference: c.png",
    )
    assert len(pairs.notes) == 11


def test_every_file_is_accounted_for(tmp_path):
    references = put(tmp_path / "ref", *(f"{i}.png" for i in range(0, 30, 2)), "6.jpg")
    candidates = put(tmp_path / "out", *(f"{i}.png" for i in range(0, 30, 3)), "9.jpg")
    pairs = pair_folders(references, candidates)
    used = len(pairs.references.items()) + len(pairs.candidates.items())
    left = len(pairs.unpaired_references) + len(pairs.unpaired_candidates)
    assert used + left + len(pairs.ambiguous) == 16 + 11


def test_nothing_pairs(tmp_path):
    references = put(tmp_path / "ref", "val/a.png")
    with pytest.raises(UserError) as caught:
        pair_folders(references, put(tmp_path / "out", "b.png"))
    assert "for instance val/a.png and b.png" in caught.value.reason
    assert "different subfolders" not in caught.value.remedy
    with pytest.raises(UserError) as caught:
        pair_folders(references, put(tmp_path / "flat", "a.png"))
    assert "Some names are, but lie in different subfolders" in caught.value.remedy


def test_a_folder_that_is_missing_or_empty(tmp_path):
    references = put(tmp_path / "ref", "a.png")
    with pytest.raises(MissingDataError, match="there is no such directory"):
        pair_folders(references, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="there is no image below it"):
        pair_folders(references, tmp_path / "empty")
