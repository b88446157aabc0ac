import pickle
from pathlib import Path

import numpy as np
import pytest
from lab import file_bytes, picture
from PIL import Image

from layton_bench.datasets.fingerprints import fingerprint
from layton_bench.datasets.layouts.any import open_images
from layton_bench.datasets.layouts.embedded import PHOTOS, open_photos
from layton_bench.datasets.layouts.folder import natural_key, open_folder
from layton_bench.errors import ImageError, MissingDataError
from layton_bench.images import decode_rgb
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


def test_natural_order_is_total_and_stable():
    names = ["a1", "a01", "a001", "1a", "a", "a1b", "a10", "a2", "é", "01", "1"]
    ordered = sorted(names, key=natural_key)
    names.reverse()
    assert ordered == sorted(names, key=natural_key)
    assert ordered.index("a2") < ordered.index("a10")


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
    assert caught.value.reason == "there is no image below it"
    assert ".jpeg .jpg" in caught.value.remedy
    with pytest.raises(MissingDataError, match="there is no such directory"):
        open_images(tmp_path / "nowhere")


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


def test_embedded_photographs_are_colour_photographs_of_a_fair_size():
    photos = open_photos()
    assert keys(photos) == sorted(PHOTOS)
    assert len(photos.items()) == 10
    for item in photos.items():
        image = decode_rgb(photos.read(item))
        assert min(image.size) >= 300
        pixels = np.asarray(image.resize((64, 64))).astype(int)
        assert np.abs(pixels[..., 0] - pixels[..., 2]).mean() > 2, f"{item.key} is grey"


def test_embedded_photographs_are_those_of_the_packages():
    data = pytest.importorskip("skimage.data")
    datasets = pytest.importorskip("sklearn.datasets")
    photos = {item.key: decode_rgb(open_photos().read(item)) for item in open_photos().items()}
    assert (np.asarray(photos["astronaut"]) == data.astronaut()).all()
    assert (np.asarray(photos["chelsea"]) == data.cat()).all()
    assert (np.asarray(photos["immunohistochemistry"]) == data.immunohistochemistry()).all()
    assert (np.asarray(photos["china"]) == datasets.load_sample_image("china.jpg")).all()


def test_embedded_photographs_are_the_same_bytes_everywhere():
    """As in scikit-image 0.24.0 and 0.26.0, scikit-learn 1.5.0 and 1.9.1."""
    photos = open_photos()
    expected = "21b465bb34c27e81dfb08adaf0989cc42c2667ee575f463a25844ca325e8eeb6"
    assert fingerprint(photos, photos.items()) == expected


def test_embedded_photographs_lie_in_the_wheels():
    """None of them is there only because something downloaded it."""
    from importlib.metadata import files

    listed = {str(path) for name in ("scikit-image", "scikit-learn") for path in files(name) or ()}
    assert {f"{package}/{path}" for package, path in PHOTOS.values()} <= listed


def test_a_package_that_lacks_a_photograph_is_named(monkeypatch):
    monkeypatch.setitem(PHOTOS, "astronaut", ("skimage", "data/gone.png"))
    with pytest.raises(MissingDataError) as caught:
        open_photos()
    assert caught.value.thing.endswith("skimage/data/gone.png")
    assert "pip install" in caught.value.remedy
    monkeypatch.setitem(PHOTOS, "astronaut", ("no_such_package", "a.png"))
    with pytest.raises(MissingDataError, match="package no_such_package: it is not installed"):
        open_photos()


def test_an_unknown_item_of_a_folder_is_an_image_error(tmp_path):
    put(tmp_path / "a.png", file_bytes(Image.new("RGB", (2, 2))))
    with pytest.raises(ImageError, match="no such file"):
        open_folder(tmp_path).read(Item(key="b", locator="b.png"))
