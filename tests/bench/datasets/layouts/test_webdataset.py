import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest
from lab import file_bytes, picture

from layton_bench.datasets.layouts.any import open_images
from layton_bench.datasets.layouts.folder import open_folder
from layton_bench.datasets.layouts.webdataset import open_tars
from layton_bench.errors import ImageError, MissingDataError

IMAGES = [file_bytes(picture(seed, (16, 12)), "JPEG") for seed in range(4)]


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def keys(dataset) -> list[str]:
    return [item.key for item in dataset.items()]


def test_samples_of_a_shard(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        {
            "d/001.jpg": IMAGES[0],
            "d/001.cls": b"17\n",
            "d/001.txt": "ein Café ".encode(),
            "d/002.json": json.dumps({"label": 3, "caption": "two"}).encode(),
            "d/002.JPG": IMAGES[1],
            "d/003.jpg": IMAGES[2],
            "d/003.json": b"[1]",
            "d/003.cls": b"cat",
            "d/004.txt": b"no image",
        },
    )
    dataset = pickle.loads(pickle.dumps(open_tars([path], name="shards")))
    found = [(item.key, item.label, item.captions) for item in dataset.items()]
    assert found == [
        ("d/001", 17, ("ein Café",)),
        ("d/002", 3, ("two",)),
        ("d/003", None, ()),
    ]
    # read in any order
    assert [dataset.read(item) for item in reversed(dataset.items())] == IMAGES[2::-1]
    assert dataset.source(dataset.items()[0]) == path
    assert dataset.notes == ()


def test_several_images_in_a_sample(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        {"1.left.png": IMAGES[0], "1.right.png": IMAGES[1], "2.jpg": IMAGES[2], "2.seg.png": b"x"},
    )
    dataset = open_tars([path], name="x")
    assert keys(dataset) == ["1.left", "1.right", "2"]
    assert [dataset.read(item) for item in dataset.items()] == IMAGES[:3]


def test_same_names_in_several_shards(tmp_path):
    paths = [
        write_tar(tmp_path / "b-1.tar", {"0.jpg": IMAGES[0], "1.jpg": IMAGES[1]}),
        write_tar(tmp_path / "b-2.tar", {"0.jpg": IMAGES[2], "2.jpg": IMAGES[3]}),
    ]
    dataset = open_tars(paths, name="x")
    assert keys(dataset) == ["b-1/0", "1", "b-2/0", "2"]
    assert [dataset.read(item) for item in dataset.items()] == IMAGES
    assert dataset.notes == ("several archives hold 0: the archive's name is added",)


def test_what_is_left_out_is_named(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../up.jpg", "a/../../b.jpg", "._x.jpg", "good.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(IMAGES[0])
            archive.addfile(info, io.BytesIO(IMAGES[0]))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"special{kind.decode()}.jpg")
            info.type = kind
            info.linkname = "/etc/passwd"
            archive.addfile(info)
    dataset = open_tars([path], name="x")
    assert keys(dataset) == ["good"]
    assert dataset.notes == (
        "a.tar: ../up.jpg and 1 more left out: its name leads out of the archive's folder",
        "a.tar: special6.jpg left out: it is neither a file nor a link",
        "a.tar: special2.jpg left out: it links to /etc/passwd, which is not in the archive",
        "a.tar: special1.jpg left out: it links to etc/passwd, which is not in the archive",
    )


def test_keys_are_those_of_the_folder_that_was_packed(tmp_path):
    folder = tmp_path / "folder"
    (folder / "d").mkdir(parents=True)
    names = ["d/1.jpg", "d/caf\u00e9.png", "d/cafe\u0301.v2.png", "0.webp", "a.png", "a.jpg"]
    for name in names:
        (folder / name).write_bytes(IMAGES[0])
    expected = sorted(keys(open_folder(folder)))
    for number, prefix in enumerate(("", "./", "/", ".//")):
        (tmp_path / str(number)).mkdir()
        write_tar(
            tmp_path / str(number) / "a.tar", {f"{prefix}{name}": IMAGES[0] for name in names}
        )
        assert sorted(keys(open_images(tmp_path / str(number)))) == expected


def test_images_beside_the_plain_one_are_named(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"2.jpg": IMAGES[2], "2.seg.png": IMAGES[1]})
    dataset = open_tars([path], name="x")
    assert keys(dataset) == ["2"]
    assert dataset.notes == (
        "a.tar: 2.seg.png left out: its sample has an image of the plain name",
    )


def test_captions_made_of_anything(tmp_path):
    members = {f"{number}.jpg": IMAGES[0] for number in range(6)} | {
        "0.json": json.dumps({"caption": ["a ball", None, "a tree"]}).encode(),
        "1.txt": b"\xef\xbb\xbfa house",
        "2.json": json.dumps({"caption": None, "label": 7}).encode(),
        "3.json": b"\xef\xbb\xbf" + json.dumps({"caption": " a hill"}).encode(),
        "4.json": b"[" * 100_000,
        "5.txt": b"  \n",
    }
    found = [
        item.captions
        for item in open_tars([write_tar(tmp_path / "a.tar", members)], name="x").items()
    ]
    assert found == [("a ball", "a tree"), ("a house",), (), (" a hill",), (), ()]


def test_a_text_without_end_is_no_caption(tmp_path):
    members = {"0.jpg": IMAGES[0], "0.txt": b"a" * (1 << 20) + b"b"}
    (item,) = open_tars([write_tar(tmp_path / "a.tar", members)], name="x").items()
    assert item.captions == ()


def test_long_names(tmp_path):
    name = "/".join(["folder" * 8] * 4) + "/Ünïcode"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            info = tarfile.TarInfo(f"{name}.jpg")
            info.size = len(IMAGES[1])
            archive.addfile(info, io.BytesIO(IMAGES[1]))
        dataset = open_tars([path], name="x")
        assert keys(dataset) == [name]
        assert dataset.read(dataset.items()[0]) == IMAGES[1]


def test_an_archive_that_is_cut_short_gives_what_it_holds(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": data for i, data in enumerate(IMAGES)})
    with tarfile.open(path) as archive:
        last = archive.getmember("3.jpg")
    path.write_bytes(path.read_bytes()[: last.offset_data + 100])
    dataset = open_tars([path], name="x")
    assert keys(dataset) == ["0", "1", "2", "3"]
    assert dataset.notes == ("a.tar is damaged or cut short after 4 files",)
    assert dataset.read(dataset.items()[2]) == IMAGES[2]
    expected = f"^cut short: the archive holds 100 of {len(IMAGES[3])} bytes$"
    with pytest.raises(ImageError, match=expected):
        dataset.read(dataset.items()[3])


def test_an_archive_with_a_damaged_header(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": data for i, data in enumerate(IMAGES)})
    with tarfile.open(path) as archive:
        start = archive.getmember("2.jpg").offset
    data = bytearray(path.read_bytes())
    data[start : start + 100] = b"\xff" * 100
    path.write_bytes(data)
    dataset = open_tars([path], name="x")
    assert keys(dataset) == ["0", "1"]
    assert dataset.notes == ("a.tar is damaged or cut short after 2 files",)


def test_an_archive_that_vanishes(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"0.jpg": IMAGES[0]})
    dataset = open_tars([path], name="x")
    path.unlink()
    with pytest.raises(ImageError, match="cannot be read: No such file or directory"):
        dataset.read(dataset.items()[0])


def test_what_is_no_uncompressed_archive(tmp_path):
    packed = write_tar(tmp_path / "a.tar", {"0.jpg": IMAGES[0]}, mode="w:gz")
    with pytest.raises(MissingDataError, match="uncompressed tar archive") as caught:
        open_tars([packed], name="x")
    assert "gunzip" in caught.value.remedy
    (tmp_path / "b.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(MissingDataError, match="uncompressed tar archive"):
        open_tars([tmp_path / "b.tar"], name="x")
    (tmp_path / "c.tar").write_bytes(b"")
    with pytest.raises(MissingDataError):
        open_tars([tmp_path / "c.tar"], name="x")
    with pytest.raises(MissingDataError, match="there is no such file"):
        open_tars([tmp_path / "d.tar"], name="x")
    empty = write_tar(tmp_path / "e.tar", {"readme.txt": b"x"})
    with pytest.raises(MissingDataError, match="there is no image in it"):
        open_tars([empty], name="x")


def test_a_folder_of_shards_is_opened_in_natural_order(tmp_path):
    for number in (10, 9):
        write_tar(tmp_path / f"s{number}.tar", {f"{number}.jpg": IMAGES[0]})
    dataset = open_images(tmp_path, name="mine")
    assert keys(dataset) == ["9", "10"]
    assert dataset.name == "mine"


def test_a_shard_of_the_webdataset_package(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    path = tmp_path / "w.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for i, data in enumerate(IMAGES):
            writer.write({"__key__": f"sample{i:03d}", "jpg": data, "cls": i})
    dataset = open_tars([path], name="x")
    assert [(i.key, i.label) for i in dataset.items()] == [(f"sample{i:03d}", i) for i in range(4)]
    assert [dataset.read(item) for item in dataset.items()] == IMAGES
