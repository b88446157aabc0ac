import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lab import file_bytes, picture

from layton_bench.datasets.layouts import open_images
from layton_bench.errors import MissingDataError

IMAGES = {f"{number}": file_bytes(picture(number, (16, 12))) for number in range(3)}


def folder(root: Path) -> Path:
    root.mkdir()
    for key, data in IMAGES.items():
        (root / f"{key}.png").write_bytes(data)
    return root


def tar(root: Path) -> Path:
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as archive:
        for key, data in IMAGES.items():
            member = tarfile.TarInfo(f"./{key}.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return root


def parquet(root: Path) -> Path:
    root.mkdir()
    rows = [{"bytes": data, "path": f"{key}.png"} for key, data in IMAGES.items()]
    pq.write_table(pa.table({"image": pa.array(rows)}), root / "a.parquet")
    return root


@pytest.mark.parametrize("make", [folder, tar, parquet])
def test_every_layout_gives_the_same_samples(tmp_path, make):
    dataset = open_images(make(tmp_path / "set"))
    assert dataset.name == "set"
    assert {item.key: dataset.read(item) for item in dataset.items()} == IMAGES
    first = dataset.with_entries(tuple(dataset.items())[:1], ("a note",))
    assert [item.key for item in first.items()] == ["0"]
    assert (first.notes, first.read(first.items()[0])) == (("a note",), IMAGES["0"])


@pytest.mark.parametrize(("make", "name"), [(tar, "a.tar"), (parquet, "a.parquet")])
def test_one_file_may_be_given(tmp_path, make, name):
    dataset = open_images(make(tmp_path / "set") / name)
    assert [item.key for item in dataset.items()] == list(IMAGES)
    assert dataset.name == "a"


def test_images_beside_an_archive_are_named(tmp_path):
    root = tar(tmp_path / "set")
    (root / "loose.png").write_bytes(IMAGES["0"])
    pq.write_table(pa.table({"x": [1]}), root / "b.parquet")
    dataset = open_images(root)
    assert len(dataset.items()) == 3
    assert dataset.notes == (
        "only the archives are read, not the files beside them: b.parquet and 1 more",
    )


def test_what_is_there_is_named_if_nothing_is_read(tmp_path):
    (tmp_path / "images.tar.gz").write_bytes(b"x")
    with pytest.raises(MissingDataError, match=r"in it: images\.tar\.gz"):
        open_images(tmp_path)
    with pytest.raises(MissingDataError, match="there is no such directory"):
        open_images(tmp_path / "nowhere")
    (tmp_path / "folder.tar").mkdir()
    with pytest.raises(MissingDataError, match=r"in it: folder\.tar and 1 more"):
        open_images(tmp_path)
