import os
import pickle
import sys
from pathlib import Path

import pytest
from lab import file_bytes, picture
from PIL import Image

from layton_bench.datasets.layouts.folder import open_folder
from layton_bench.errors import ImageError, MissingDataError
from layton_bench.types import Item


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def keys(dataset) -> list[str]:
    return [item.key for item in dataset.items()]


def test_natural_order_below_subfolders(tmp_path):
    for name in (
        "b/img10.png",
        "b/img2.PNG",
        "a/z.jpeg",
        "b/img2b.webp",
        "c.JPG",
        "10.png",
        "9.png",
    ):
        put(tmp_path / name)
    put(tmp_path / "notes.txt")
    dataset = open_folder(tmp_path)
    assert keys(dataset) == ["9", "10", "a/z", "b/img2", "b/img2b", "b/img10", "c"]
    assert dataset.items()[3].locator == "b/img2.PNG"
    assert dataset.name == tmp_path.name
    assert dataset.notes == ()


def test_names_that_differ_in_the_extension_alone_keep_it(tmp_path):
    for name in ("d/a.png", "d/a.jpg", "d/b.png", "a.png"):
        put(tmp_path / name)
    dataset = open_folder(tmp_path)
    assert keys(dataset) == ["a", "d/a.jpg", "d/a.png", "d/b"]
    assert dataset.notes == ("several files are named d/a: each keeps its extension",)


def test_what_operating_systems_leave_behind_is_skipped(tmp_path):
    for name in ("a.png", "._a.png", ".hidden/b.png", "__MACOSX/c.png", "Thumbs.db"):
        put(tmp_path / name)
    assert keys(open_folder(tmp_path)) == ["a"]


def test_linked_folders_are_entered_once(tmp_path):
    put(tmp_path / "elsewhere" / "a.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    assert keys(open_folder(root)) == ["link/a"]


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        open_folder(tmp_path / "nowhere")
    assert caught.value.thing == str(tmp_path / "nowhere")
    assert caught.value.reason == "there is no such directory"
    put(tmp_path / "readme.md")
    with pytest.raises(MissingDataError) as caught:
        open_folder(tmp_path)
    assert caught.value.reason == "there is no image below it (in it: readme.md)"
    assert ".jpeg .jpg" in caught.value.remedy


def test_reading(tmp_path):
    data = file_bytes(picture(0, (8, 8)))
    put(tmp_path / "a.png", data)
    dataset = pickle.loads(pickle.dumps(open_folder(tmp_path)))
    (item,) = dataset.items()
    assert dataset.read(item) == data
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"^no such file: a\.png$"):
        dataset.read(item)
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match=r"^not a regular file but a folder: a\.png$"):
        dataset.read(item)


def test_captions_by_name(tmp_path):
    for name in ("people/1.jpg", "people/2.jpg"):
        put(tmp_path / name)
    dataset = open_folder(tmp_path).with_captions({"2": ("two",)})
    assert [(i.key, i.captions) for i in dataset.items()] == [
        ("people/1", ()),
        ("people/2", ("two",)),
    ]


def test_an_unknown_item_of_a_folder_is_an_image_error(tmp_path):
    put(tmp_path / "a.png", file_bytes(Image.new("RGB", (2, 2))))
    with pytest.raises(ImageError, match="no such file"):
        open_folder(tmp_path).read(Item(key="b", locator="b.png"))


def test_names_in_two_spellings_and_encodings(tmp_path):
    composed, parts = "caf\u00e9", "cafe\u0301"
    put(tmp_path / "a" / f"{composed}.png")
    put(tmp_path / "b" / f"{parts}.png")
    assert keys(open_folder(tmp_path / "a")) == keys(open_folder(tmp_path / "b")) == [composed]
    captions = {parts: ("a cup",)}
    assert open_folder(tmp_path / "a").with_captions(captions).items()[0].captions == ("a cup",)
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/c\xe9"))
    try:
        put(latin / os.fsdecode(b"caf\xe9.png"), b"data")
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    dataset = open_folder(latin)
    (item,) = pickle.loads(pickle.dumps(dataset)).items()
    assert (dataset.name, item.key) == ("c%E9", "caf%E9")
    assert dataset.read(item) == b"data"


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(tmp_path / "a.png")
    put(tmp_path / "closed" / "b.png")
    deny(monkeypatch, tmp_path / "closed")
    dataset = open_folder(tmp_path)
    assert keys(dataset) == ["a"]
    assert dataset.notes == (f"{tmp_path.name}: closed left out: Permission denied",)
    (tmp_path / "a.png").unlink()
    with pytest.raises(MissingDataError, match="closed left out: Permission denied"):
        open_folder(tmp_path)


def deny(monkeypatch, folder: Path) -> None:
    """Let a folder be one without permission, for root too."""
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are files of Unix")
def test_pipes_and_devices_are_failed_samples(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)
    dataset = open_folder(tmp_path)
    reasons = {}
    for item in dataset.items():
        with pytest.raises(ImageError) as caught:
            dataset.read(item)
        reasons[item.key] = str(caught.value)
    assert reasons["pipe"] == "not a regular file but a pipe: pipe.png"
    assert reasons["zero"] == "not a regular file but a device: zero.png"
    assert reasons["gone"] == "no such file: gone.png"
    assert reasons["sparse"].startswith("too large: 1,099,511,627,776 bytes")
